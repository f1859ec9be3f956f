// `lattice audit verify` on real files, against an attacker who holds the node, and a control plane that saw the
// files before.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/temp_dir.h"
#include "tools/lattice/audit_evidence.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/progress.h"
#include "userspace/audit/audit_file.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/file.h"
#include "userspace/http/server.h"

namespace lattice::cli {
namespace {

using ::testing::HasSubstr;

constexpr char kToken[] = "a.b.c";

// What it saw of the node, and serves as latticed does.
class ControlPlane {
 public:
  ControlPlane() : loop_(EventLoop::Create().value()) {
    server_ = http::Server::Create(*loop_, {.address = "127.0.0.1:0", .flag = "--http-addr"}).value();
    for (const char* const list : {"sources", "digests"}) {
      server_->Handle("GET", absl::StrCat("/api/v1/audit/", list), [this, list](const http::Request& request) {
        const bool admitted = std::any_of(request.headers.begin(), request.headers.end(), [](const auto& header) {
          return absl::EqualsIgnoreCase(header.first, "authorization") &&
                 header.second == absl::StrCat("Bearer ", kToken);
        });
        if (!admitted) {
          return http::Response{
              .status = 401, .content_type = http::kJson, .body = R"({"code":401,"msg":"no valid token","data":null})"};
        }
        const nlohmann::json json = {{"code", 0}, {"msg", "ok"}, {"data", {{"list", lists[list]}}}};
        return http::Response{.content_type = http::kJson, .body = json.dump()};
      });
    }
    thread_ = std::thread([this] { (void)loop_->Run(); });
  }
  ~ControlPlane() {
    loop_->Stop();
    thread_.join();
  }
  std::string url() const { return absl::StrCat("http://", server_->address()); }

  std::map<std::string, nlohmann::json> lists = {{"sources", nlohmann::json::array()},
                                                 {"digests", nlohmann::json::array()}};

 private:
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<http::Server> server_;
  std::thread thread_;
};

// Three closed segments (records 1-4, 5-8, 9-12) and a live one (13-16); the control plane saw all of it.
class AuditVerify : public ::testing::Test {
 protected:
  void SetUp() override {
    key_ = audit::SigningKey::LoadOrCreate(path_ + ".key").value();
    auto file = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(),
                                       {.path = path_, .node = "n", .boot = "b", .signing_key = key_});
    ASSERT_TRUE(file.ok()) << file.status();
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE((*file)->Reopen().ok());
      for (int j = 0; j < 4; ++j) {
        flow::FlowRecord record = testing::StartRecord(made_++);
        (*file)->Add(record);
      }
      ASSERT_TRUE((*file)->Commit().ok());
    }
    const audit::Head& head = (*file)->newest();
    control_.lists["sources"] = nlohmann::json::array(
        {{{"node", "other"}, {"boot", "b"}, {"head", {{"seq", 99}, {"h", "x"}, {"ts", Time(head.ts)}}}},
         {{"node", "n"}, {"boot", "b"}, {"head", {{"seq", head.seq}, {"h", head.h}, {"ts", Time(head.ts)}}}}});
    for (const uint64_t first : {1u, 5u, 9u}) SeeDigest(first);
    ASSERT_TRUE(WriteFileAtomically(dir_.File("token"), absl::StrCat(kToken, "\n"), 0600).ok());
  }
  static std::string Time(absl::Time time) { return absl::FormatTime(absl::RFC3339_full, time, absl::UTCTimeZone()); }
  void SeeDigest(uint64_t first) {
    const std::string text = Content(Digest(first));
    const audit::SegmentDigest digest = audit::DecodeDigest(text).value();
    control_.lists["digests"].push_back({{"node", "n"},
                                         {"boot", digest.boot},
                                         {"seq", digest.last_seq},
                                         {"h", digest.head},
                                         {"ts", Time(digest.closed)},
                                         {"digest", text},
                                         {"signature", absl::Base64Escape(key_->Sign(text))},
                                         {"publicKey", absl::Base64Escape(key_->public_key())},
                                         {"signatureValid", true}});
  }
  ExitCode Run(Words words) {
    words.push_back("--audit-log=" + path_);
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const ExitCode code = RunAuditVerify(words);
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }
  ExitCode RunWithServer() { return Run({"--server-url", control_.url(), "--api-token-file", dir_.File("token")}); }
  std::string Segment(uint64_t first) const { return dir_.File(absl::StrCat("audit-b-", first, ".jsonl")); }
  std::string Digest(uint64_t first) const { return dir_.File(absl::StrCat("audit-b-", first, ".digest")); }
  static std::string Content(const std::string& path) { return ReadFile(path).value(); }
  static void SetContent(const std::string& path, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(path, text, 0640).ok());
  }

  testing::TempDir dir_;
  const std::string path_ = dir_.File("audit.jsonl");
  std::shared_ptr<const audit::SigningKey> key_;
  ControlPlane control_;
  uint64_t made_ = 0;
  std::string out_, err_;
};

TEST_F(AuditVerify, UntouchedFilesAreGoodHereAndForTheControlPlane) {
  EXPECT_EQ(Run({}), kOk) << out_ << err_;
  EXPECT_THAT(out_, HasSubstr("16 lines of node n in 4 segments, newest 16 of boot b"));
  EXPECT_THAT(out_, HasSubstr("3 digests are signed by"));
  EXPECT_THAT(out_, HasSubstr("proves nothing against who holds the node"));
  EXPECT_TRUE(absl::EndsWith(out_, "OK\n"));
  EXPECT_EQ(RunWithServer(), kOk) << out_ << err_;
  EXPECT_THAT(out_, HasSubstr("of what the control plane saw, 4 lines and 3 digests are here"));
  EXPECT_THAT(out_, HasSubstr("the first the control plane saw"));
}

TEST_F(AuditVerify, ACutEndIsFoundByTheControlPlanesHeadOnly) {
  std::vector<std::string> lines = absl::StrSplit(Content(path_), '\n');
  lines.resize(2);
  SetContent(path_, absl::StrJoin(lines, "\n") + "\n");
  EXPECT_EQ(Run({}), kOk) << out_;
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("PROBLEM cut_end"));
  EXPECT_THAT(out_, HasSubstr("record 16 of boot b, which the control plane saw, is missing: that boot ends at 14"));
}

TEST_F(AuditVerify, AllFilesButTheOldestRemovedIsFound) {
  for (const uint64_t first : {5u, 9u}) {
    std::filesystem::remove(Segment(first));
    std::filesystem::remove(Digest(first));
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(Run({}), kOk) << out_;
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("record 16 of boot b"));
}

TEST_F(AuditVerify, EverythingMadeAnewWithTheNodesKeyIsFound) {
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    const std::string name = entry.path().filename();
    if (absl::StrContains(name, "audit") && name != "audit.jsonl.key") std::filesystem::remove(entry.path());
  }
  auto file = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(),
                                     {.path = path_, .node = "n", .boot = "b", .signing_key = key_});
  ASSERT_TRUE(file.ok()) << file.status();
  for (int i = 0; i < 16; ++i) {
    flow::FlowRecord record = testing::StartRecord(1000 + static_cast<uint64_t>(i));
    (*file)->Add(record);
  }
  ASSERT_TRUE((*file)->Commit().ok());
  file->reset();
  EXPECT_EQ(Run({}), kOk) << out_;
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("h is not the one that the control plane saw"));
}

TEST_F(AuditVerify, ADigestThatWasReplacedIsFound) {
  const std::string text = absl::StrReplaceAll(Content(Digest(9)), {{"\"closed\":\"20", "\"closed\":\"19"}});
  SetContent(Digest(9), text);
  SetContent(Digest(9) + ".sig", absl::Base64Escape(key_->Sign(text)));
  EXPECT_EQ(Run({}), kOk) << out_;
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("is not the digest that the control plane got"));
}

TEST_F(AuditVerify, AReplacedKeyIsFound) {
  const auto other = audit::SigningKey::LoadOrCreate(dir_.File("other")).value();
  for (const uint64_t first : {1u, 5u, 9u}) {
    SetContent(Digest(first) + ".sig", absl::Base64Escape(other->Sign(Content(Digest(first)))));
  }
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("PROBLEM signature"));
  EXPECT_EQ(Run({"--public-key", absl::Base64Escape(other->public_key())}), kOk) << out_;
  EXPECT_EQ(Run({"--public-key", absl::Base64Escape(key_->public_key())}), kFailed);
}

TEST_F(AuditVerify, OldSegmentsThatTheSizeCapTookAreNoProblem) {
  std::filesystem::remove(Segment(1));
  std::filesystem::remove(Digest(1));
  EXPECT_EQ(RunWithServer(), kOk) << out_;
  EXPECT_THAT(out_, HasSubstr("1 are older than the oldest line here"));
  EXPECT_THAT(out_, HasSubstr("older segments are deleted: the chain is checked from n/b/5 on"));
}

TEST_F(AuditVerify, ANodeTheControlPlaneDoesNotKnowIsAProblem) {
  control_.lists["sources"] = control_.lists["digests"] = nlohmann::json::array();
  EXPECT_EQ(RunWithServer(), kFailed);
  EXPECT_THAT(out_, HasSubstr("the control plane has no head of node \"n\""));
}

TEST_F(AuditVerify, JsonHasTheSame) {
  std::filesystem::remove(Digest(5));
  EXPECT_EQ(Run({"--json"}), kFailed);
  const nlohmann::json json = nlohmann::json::parse(out_);
  EXPECT_EQ(json["ok"], false);
  EXPECT_EQ(json["lines"], 16);
  EXPECT_EQ(json["signatures"], 2);
  EXPECT_EQ(json["newest"]["seq"], 16);
  EXPECT_EQ(json["problems"][0]["kind"], "digest_missing");
}

TEST_F(AuditVerify, WhatCannotBeAskedIsAnErrorWithARemedy) {
  const std::string wrong = dir_.File("wrong.token");
  ASSERT_TRUE(WriteFileAtomically(wrong, "x.y.z\n", 0600).ok());
  EXPECT_EQ(Run({"--server-url", control_.url(), "--api-token-file", wrong}), kFailed);
  EXPECT_THAT(err_, HasSubstr("no valid token"));
  EXPECT_EQ(Run({"--server-url", control_.url(), "--api-token-file", dir_.File("none")}), kFailed);
  EXPECT_THAT(err_, HasSubstr("--api-token-file=" + dir_.File("none")));
  EXPECT_EQ(Run({"--server-url", "http://127.0.0.1:1", "--api-token-file", dir_.File("token")}), kFailed);
  EXPECT_EQ(Run({"--public-key", "nonsense"}), kUsage);
  EXPECT_EQ(Run({"--server-url", "ftp://x"}), kUsage);
  EXPECT_EQ(Run({"--nonsense"}), kUsage);
  EXPECT_EQ(RunAuditVerify({"--audit-log=" + dir_.File("none.jsonl")}), kFailed);
}

TEST(Evidence, IsRefusedWhereItIsNoAnswerOfTheControlPlane) {
  constexpr char kNone[] = R"({"list":[]})";
  EXPECT_TRUE(ParseEvidence("n", kNone, kNone).ok());
  for (const char* const bad : {"", "x", "[]", "{}", R"({"list":null})", R"({"list":{}})"}) {
    EXPECT_TRUE(absl::IsInternal(ParseEvidence("n", bad, kNone).status())) << bad;
    EXPECT_TRUE(absl::IsInternal(ParseEvidence("n", kNone, bad).status())) << bad;
  }
  constexpr char kNoHash[] = R"({"list":[{"node":"n","boot":"b","head":{"seq":1}}]})";
  EXPECT_TRUE(absl::IsInternal(ParseEvidence("n", kNoHash, kNone).status()));
  EXPECT_TRUE(ParseEvidence("m", kNoHash, kNone).ok());
  EXPECT_TRUE(ParseEvidence("n", R"({"list":[7,null,{"node":"n","head":null}]})", kNone).ok());
}

TEST(ProgressLine, TellsPartBytesAndTimeLeft) {
  EXPECT_EQ(ProgressLine("verifying", 512 << 20, 1 << 30, absl::Seconds(10)),
            "verifying [##########          ]  50 %  512.0 MiB of 1.0 GiB  10.0 s left");
  EXPECT_EQ(ProgressLine("x", 0, 0, absl::Seconds(1)), "x [                    ]   0 %  0 B of 1 B");
  EXPECT_EQ(ProgressLine("x", 8, 4, absl::Seconds(1)), "x [####################] 100 %  8 B of 8 B");
}

}  // namespace
}  // namespace lattice::cli
