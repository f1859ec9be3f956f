// `lattice audit …` as an operator uses it: real traffic, latticed-dp, latticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/e2e/control_test.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;

std::vector<std::string> Lines(const std::string& text) {
  return absl::StrSplit(text, '\n', absl::SkipEmpty());
}

class AuditCli : public ControlTest {
 protected:
  // 20 allowed flows, which end, and a denied attempt; all of it stored, nothing more to come.
  void MakeRecords() {
    UdpSink(peer(), "10.42.0.10", 7000);
    ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
    SendDatagrams(20);
    Curl(node(), "http://10.42.0.20:8443/", 1);
    ASSERT_TRUE(
        WaitUntil([&] { return dp_->Records([](const AuditRecord& r) { return r["event"] == "end"; }).size() >= 20; },
                  absl::Seconds(30)));
    ASSERT_TRUE(AllArrive());
  }
  CommandResult Audit(std::vector<std::string> command) const {
    command.insert(command.begin(), "audit");
    return server_->Cli(std::move(command));
  }
  // `lattice audit …` with these words alone.
  CommandResult Bare(std::vector<std::string> command) const {
    command.insert(command.begin(), {BinaryPath("lattice"), "audit"});
    return RunCommand(node().Inside(command));
  }
};

TEST_F(AuditCli, QueryShowsRecordsInOrderAndByFilter) {
  ASSERT_NO_FATAL_FAILURE(MakeRecords());
  const CommandResult denied = Audit({"query", "--agent", "agent-001", "--verdict", "drop", "--from", "-5m"});
  ASSERT_EQ(denied.exit_code, 0) << denied;
  EXPECT_THAT(denied.out, AllOf(HasSubstr("agent-001"), HasSubstr("-> 10.42.0.20:8443"), HasSubstr("no_rule")));
  EXPECT_THAT(denied.out, Not(HasSubstr("10.42.0.10:7000")));
  EXPECT_EQ(denied.err, "");

  const CommandResult ended = Audit({"query", "--event=start,end", "--port=!53", "--dst=10.42.0.10/32", "--limit=5"});
  ASSERT_EQ(ended.exit_code, 0) << ended;
  std::vector<std::string> lines = Lines(ended.out);
  EXPECT_THAT(lines, SizeIs(5));
  for (std::string& line : lines) line.resize(23);  // the time
  EXPECT_TRUE(std::is_sorted(lines.begin(), lines.end())) << ended.out;

  const CommandResult as_json = Audit({"query", "--json", "--event=end"});
  std::set<std::string> ids;
  for (const std::string& line : Lines(as_json.out)) ids.insert(json::parse(line)["eventId"].get<std::string>());
  EXPECT_THAT(ids, SizeIs(20));
  for (const char* command : {"query", "export"}) {
    const CommandResult nobody = Audit({command, "--agent=nobody", "--port=443"});
    EXPECT_EQ(nobody.exit_code, 0) << nobody;
    EXPECT_EQ(nobody.out, "");
    EXPECT_THAT(nobody.err, MatchesRegex("lattice: no record fits --from=-(1|24)h --agent=nobody --port=443\n"));
  }
}

TEST_F(AuditCli, TailShowsWhatComesAndEndsAfterItsCount) {
  UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  auto tail = ChildProcess::Start(
      {.argv = {BinaryPath("lattice"), "audit", "tail", "--event=start", "--count=3", "--server-url=" + server_->url(),
                "--api-token-file=" + server_->File("admin.token")},
       .netns = node().path()});
  ASSERT_TRUE(tail.ok()) << tail.status();
  ASSERT_TRUE(WaitUntil([&] { return server_->Scrape().Sum("latticed_live_tails") == 1; }));
  SendDatagrams(5);
  EXPECT_EQ((*tail)->Wait(absl::Seconds(20)).value_or(-1), 0) << (*tail)->err();
  EXPECT_THAT(Lines((*tail)->out()), SizeIs(3));
  EXPECT_THAT((*tail)->out(), HasSubstr("-> 10.42.0.10:7000"));
}

TEST_F(AuditCli, TopAddsUp) {
  ASSERT_NO_FATAL_FAILURE(MakeRecords());
  const CommandResult by_flows = Audit({"top", "--metric", "flows"});
  ASSERT_EQ(by_flows.exit_code, 0) << by_flows;
  const std::vector<std::string> lines = Lines(by_flows.out);
  ASSERT_GE(lines.size(), 2u) << by_flows;
  EXPECT_THAT(lines[1], AllOf(HasSubstr("10.42.0.10"), HasSubstr("20"))) << by_flows.out;
  EXPECT_THAT(lines[0], MatchesRegex("dst +FLOWS +BYTES +DENIED"));
  EXPECT_THAT(Audit({"top", "--by=port", "--metric=denied", "--rows=1"}).out, MatchesRegex("port +DENIED\n8443 +1\n"));
  EXPECT_THAT(Audit({"top", "--by=port", "--verdict=drop"}).out, AllOf(HasSubstr("8443"), Not(HasSubstr("7000"))));
  const json data = json::parse(Audit({"top", "--by=agent", "--json"}).out);
  EXPECT_EQ(data["list"][0]["key"], "agent-001");
  EXPECT_EQ(Audit({"top", "--agent=nobody"}).err, "lattice: no record fits --from=-1h --agent=nobody\n");
}

TEST_F(AuditCli, AnExportHasTheRowsOfTheApi) {
  ASSERT_NO_FATAL_FAILURE(MakeRecords());
  std::vector<json> exported;
  for (const std::string& line : Lines(Audit({"export"}).out)) exported.push_back(json::parse(line));
  EXPECT_EQ(exported, server_->Flows());
  EXPECT_GE(exported.size(), 41u);

  const std::vector<std::string> csv = Lines(Audit({"export", "--format=csv", "--event=end"}).out);
  ASSERT_THAT(csv, SizeIs(21));  // and the names
  const std::vector<std::string> names = absl::StrSplit(csv[0], ',');
  const auto at = std::find(names.begin(), names.end(), "eventId");
  ASSERT_NE(at, names.end()) << csv[0];
  std::set<std::string> in_csv, in_api;
  for (size_t i = 1; i < csv.size(); ++i) {
    in_csv.insert(std::vector<std::string>(absl::StrSplit(csv[i], ','))[static_cast<size_t>(at - names.begin())]);
  }
  for (const json& event : server_->Flows("event=end")) in_api.insert(event["eventId"].get<std::string>());
  EXPECT_EQ(in_csv, in_api);
}

TEST_F(AuditCli, ReconcileTellsCompleteFromWaiting) {
  ASSERT_NO_FATAL_FAILURE(MakeRecords());
  const std::string log = "--audit-log=" + dp_->audit_log();
  CommandResult done = Audit({"reconcile", log});
  EXPECT_EQ(done.exit_code, 0) << done;
  EXPECT_THAT(done.out, HasSubstr("every record of these files is at the control plane"));

  // The NATS of latticed goes with it: what is recorded now has to wait.
  ASSERT_EQ(server_->Stop(), 0);
  SendDatagrams(3);
  ASSERT_TRUE(
      WaitUntil([&] { return dp_->Records([](const AuditRecord& r) { return r["event"] == "end"; }).size() >= 23; },
                absl::Seconds(30)));
  const CommandResult away = Audit({"reconcile", log});
  EXPECT_EQ(away.exit_code, 1) << away;
  EXPECT_THAT(away.err, HasSubstr("is latticed running there (--server-url)?"));

  // Back without the writer: it knows of the older records alone.
  ASSERT_EQ(dp_->Stop(), 0);
  ASSERT_TRUE(server_->Start().ok()) << server_->log();
  const CommandResult waiting = Audit({"reconcile", log});
  EXPECT_EQ(waiting.exit_code, 1) << waiting;
  EXPECT_THAT(waiting.out, HasSubstr("not every record of these files is at the control plane"));
  EXPECT_THAT(waiting.out, Not(HasSubstr("missing:")));  // on their way is not missing

  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_TRUE(WaitUntil(
      [&] {
        return Audit({"reconcile", log}).exit_code == 0;
      },
      absl::Seconds(30)))
      << Audit({"reconcile", log});
}

TEST_F(AuditCli, VerifySeesACutThatTheFilesAloneDoNotShow) {
  ASSERT_NO_FATAL_FAILURE(MakeRecords());
  const std::string log = "--audit-log=" + dp_->audit_log();
  ASSERT_EQ(dp_->Stop(), 0);  // sends its head
  ASSERT_TRUE(AllArrive());
  const auto head = [&] { return server_->Get("/api/v1/audit/sources")["data"]["list"][0]["head"]; };
  const uint64_t newest = dp_->Records().back().Number("seq");
  ASSERT_TRUE(WaitUntil([&] { return head().is_object() && head()["seq"] == newest; })) << head();
  const CommandResult whole = Audit({"verify", log});
  EXPECT_EQ(whole.exit_code, 0) << whole;

  const std::string text = *ReadFile(dp_->audit_log());
  ASSERT_GT(text.size(), 2u);
  const size_t end = text.rfind('\n', text.size() - 2) + 1;  // without the last line
  ASSERT_EQ(truncate(dp_->audit_log().c_str(), static_cast<off_t>(end)), 0);
  EXPECT_EQ(Bare({"verify", log}).exit_code, 0);
  const CommandResult cut = Audit({"verify", log});
  EXPECT_EQ(cut.exit_code, 1) << cut;
  // As the other commands: by the environment alone.
  const CommandResult by_environment = RunCommand(node().Inside(
      {"env", "LATTICE_SERVER_URL=" + server_->url(), "LATTICE_API_TOKEN_FILE=" + server_->File("admin.token"),
       BinaryPath("lattice"), "audit", "verify", log}));
  EXPECT_EQ(by_environment.exit_code, 1) << by_environment;
  EXPECT_EQ(by_environment.out, cut.out);
}

// A writer whose token is of another agent: what it sends comes in and is not taken.
TEST_F(AuditCli, ReconcileTellsRejectedFromMissingAndRejectsNamesThem) {
  EXPECT_EQ(Audit({"rejects"}).out, "no message was rejected\n");
  token_ = server_->EnrollToFile("agent-002");
  ASSERT_FALSE(token_.empty());
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  ASSERT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }));
  ASSERT_EQ(dp_->Stop(), 0);
  const size_t written = dp_->Records().size();
  const std::string log = "--audit-log=" + dp_->audit_log();
  const auto rejects = [&] { return server_->Get("/api/v1/audit/rejects?limit=1000")["data"]["list"]; };
  // The head that the stop sends is one more.
  ASSERT_TRUE(WaitUntil([&] { return rejects().size() > written; })) << rejects();
  const CommandResult rejected = Audit({"reconcile", log});
  EXPECT_EQ(rejected.exit_code, 1) << rejected;
  EXPECT_THAT(rejected.out,
              AllOf(HasSubstr("REJECTED"), HasSubstr(absl::StrCat("rejected: ", dp_->Records()[0]["node"])),
                    HasSubstr(absl::StrCat(" from 1 on, agent_mismatch: ")), Not(HasSubstr("missing:"))))
      << rejected;
  const std::vector<std::string> row = absl::StrSplit(Lines(rejected.out)[1], ' ', absl::SkipEmpty());
  const std::string all = absl::StrCat(written);
  EXPECT_EQ(std::vector<std::string>(row.begin() + 2, row.end()),
            (std::vector<std::string>{all, "0", "0", all, "0"}))  // here, stored, waiting, rejected, missing
      << rejected.out;
  const CommandResult listed = Audit({"rejects", "--limit=1000"});
  EXPECT_EQ(listed.exit_code, 0) << listed;
  for (const AuditRecord& record : dp_->Records()) EXPECT_THAT(listed.out, HasSubstr(record["eventId"] + " "));
  EXPECT_EQ(json::parse(Audit({"rejects", "--json"}).out)["list"][0]["reason"], "agent_mismatch");
}

TEST_F(AuditCli, AWrongTokenAddressOrWordIsNamed) {
  const std::string url = "--server-url=" + server_->url();
  const std::string bad = server_->File("bad.token");
  ASSERT_TRUE(WriteFileAtomically(bad, "x.y.z\n", 0600).ok());
  for (const char* command : {"query", "export", "top", "tail", "rejects"}) {
    const CommandResult none = Bare({command, url, "--api-token-file=/nowhere/token"});
    EXPECT_EQ(none.exit_code, 1) << none;
    EXPECT_THAT(none.err, AllOf(HasSubstr("--api-token-file=/nowhere/token"), HasSubstr("admin.token"))) << none;
    const CommandResult refused = Bare({command, url, "--api-token-file=" + bad});
    EXPECT_EQ(refused.exit_code, 1) << refused;
    EXPECT_THAT(refused.err, HasSubstr("token")) << refused;
    EXPECT_EQ(refused.out, "");
    const CommandResult nobody = Bare({command, "--server-url=http://127.0.0.1:1", "--api-token-file=" + bad});
    EXPECT_EQ(nobody.exit_code, 1) << nobody;
    EXPECT_THAT(nobody.err, HasSubstr("127.0.0.1:1")) << nobody;
    const CommandResult not_one = Bare({command, "--server-url=ftp://x", "--api-token-file=" + bad});
    EXPECT_EQ(not_one.exit_code, 2) << not_one;
    EXPECT_THAT(not_one.err, HasSubstr("--server-url=ftp://x")) << not_one;
  }
  const struct {
    std::vector<std::string> words;
    const char* error;
  } kWrong[] = {{{"query", "--verdict=maybe"}, "verdict=maybe"},    {{"query", "--port=http"}, "port=http"},
                {{"query", "--from=yesterday"}, "from=yesterday"},  {{"query", "--limit=0"}, "limit=0"},
                {{"tail", "--event=never"}, "event=never"},         {{"export", "--dst=x/33"}, "dst=x/33"},
                {{"export", "--format=xml"}, "--format=xml"},       {{"top", "--by=colour"}, "by=colour"},
                {{"query", "--colour=red"}, "no flag --colour"},    {{"tail", "--count=x"}, "--count=x"},
                {{"query", "extra"}, "takes no argument \"extra\""}};
  for (const auto& [words, error] : kWrong) {
    const CommandResult wrong = Audit(words);
    EXPECT_EQ(wrong.exit_code, 2) << wrong;
    EXPECT_THAT(wrong.err, HasSubstr(error)) << wrong;
    EXPECT_THAT(wrong.err, EndsWith("\nsee `lattice audit " + words[0] + " --help`\n")) << wrong;
    EXPECT_EQ(wrong.out, "") << wrong;
  }
  const CommandResult unknown = Audit({"frobnicate"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, AllOf(HasSubstr("frobnicate"), HasSubstr("lattice audit query")));
}

}  // namespace
}  // namespace lattice::testing
