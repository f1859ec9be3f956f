// SIGHUP, and the commands of `lattice dp` that need a running daemon, under load.
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "absl/strings/str_cat.h"
#include "tests/e2e/overlay_test.h"
#include "tests/testing/child_process.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

class ReloadTest : public OverlayTest {
 protected:
  void SetUp() override {
    OverlayTest::SetUp();
    server_ = UdpEcho(peer(), "10.42.0.10", 7000);
    UdpEcho(peer(), "10.42.0.10", 7001);
    WritePolicy("10.42.0.10/32:7000\n");
    ASSERT_NO_FATAL_FAILURE(StartDp({"--policy-file=" + policy()}));
    // Allowed by every policy here: not one of its packets may be lost.
    auto load = UdpStream::Create(node(), {"10.42.0.1", 30000}, {"10.42.0.10", 7000});
    ASSERT_TRUE(load.ok()) << load.status();
    load_ = std::move(*load);
  }
  void TearDown() override {
    if (load_ != nullptr) {
      load_->Stop();
      EXPECT_EQ(load_->answered(), load_->sent());
      EXPECT_GT(load_->sent(), 100u);
    }
    OverlayTest::TearDown();
  }
  std::string policy() const { return dir_.File("policy"); }
  void WritePolicy(const std::string& text) { ASSERT_TRUE(WriteFileAtomically(policy(), text, 0644).ok()); }
  double Generation() const { return dp_->Scrape().Sum("lattice_dp_policy_generation"); }
  bool Passes(uint16_t port) {
    return UdpEchoesFrom(node(), {"10.42.0.1", 31000}, {"10.42.0.10", port}, 30, absl::Milliseconds(500));
  }

  TempDir dir_;
  UdpServer* server_ = nullptr;
  std::unique_ptr<UdpStream> load_;
};

TEST_F(ReloadTest, AGoodPolicyFileIsInForceAndABadOneChangesNothing) {
  EXPECT_FALSE(Passes(7001));
  WritePolicy("10.42.0.10/32:7000\n10.42.0.10/32:7001\n");
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(WaitUntil([&] { return Generation() == 2; }));
  EXPECT_TRUE(Passes(7001));

  WritePolicy("10.42.0.10/32:7000\nallow nonsense\n");
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(dp_->WaitForLog("the reload changes nothing"));
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr(policy() + ":2"));
  EXPECT_EQ(Generation(), 2);
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_policy_apply_failures_total"), 1);
  EXPECT_TRUE(Passes(7001)) << "the policy before";

  std::filesystem::remove(policy());
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_policy_apply_failures_total") == 2; }));
  EXPECT_EQ(Generation(), 2);

  // Opening a FIFO waits for a writer: the loop that attaches again must not.
  ASSERT_EQ(::mkfifo(policy().c_str(), 0600), 0);
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_policy_apply_failures_total") == 3; }));
  EXPECT_TRUE(dp_->WaitForLog("no regular file"));
  EXPECT_EQ(Generation(), 2);
}

TEST_F(ReloadTest, AReloadTakesBackAnAppliedPolicyAndARenamedAuditFileDoesNot) {
  ASSERT_TRUE(dp_->ApplyPolicy("10.42.0.10/32:7000\n10.42.0.10/32:7001\n").ok());
  EXPECT_TRUE(Passes(7001));
  // As logrotate does it.
  std::filesystem::rename(dp_->audit_log(), dp_->File("rotated"));
  EXPECT_TRUE(WaitUntil([&] { return std::filesystem::exists(dp_->audit_log()); }));
  EXPECT_EQ(Generation(), 2);
  EXPECT_TRUE(Passes(7001));
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(WaitUntil([&] { return Generation() == 3; }));
  EXPECT_FALSE(Passes(7001));
}

TEST_F(ReloadTest, TheAuditFileIsOpenedAnewAndLosesNothing) {
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "start"; }).has_value());
  const std::string moved = dp_->File("audit-moved.jsonl");
  std::filesystem::rename(dp_->audit_log(), moved);
  dp_->Signal(SIGHUP);
  EXPECT_FALSE(Passes(7001));
  const auto denied = [](const AuditRecord& r) { return r["event"] == "denied" && r["dst_port"] == "7001"; };
  EXPECT_TRUE(dp_->WaitForRecord(denied).has_value());
  load_->Stop();
  ASSERT_EQ(dp_->Stop(), 0);
  std::set<uint64_t> numbers;
  for (const AuditRecord& record : dp_->Records()) {
    EXPECT_TRUE(numbers.insert(record.Number("seq")).second) << "twice: " << record;
  }
  ASSERT_FALSE(numbers.empty());
  EXPECT_EQ(*numbers.rbegin() - *numbers.begin() + 1, numbers.size()) << "a hole";
}

TEST_F(ReloadTest, CommandsAskTheRunningDaemon) {
  const std::string good = dir_.File("good"), bad = dir_.File("bad");
  ASSERT_TRUE(WriteFileAtomically(good, "10.42.0.0/24\n", 0644).ok());
  ASSERT_TRUE(WriteFileAtomically(bad, "10.42.0.0/33\n", 0644).ok());
  const CommandResult checked = dp_->Cli({"policy", "check", good});
  EXPECT_TRUE(checked.ok()) << checked;
  const CommandResult refused = dp_->Cli({"policy", "check", bad});
  EXPECT_EQ(refused.exit_code, 2) << refused;
  EXPECT_THAT(refused.err, ::testing::HasSubstr("10.42.0.0/33"));
  EXPECT_EQ(Generation(), 1) << "a check changes nothing";

  const CommandResult top = dp_->Cli({"top", "--by=flow", "--count=2", "--interval=200ms", "--json"});
  EXPECT_TRUE(top.ok()) << top;
  EXPECT_THAT(top.out, ::testing::HasSubstr("10.42.0.10"));
  const CommandResult busy = dp_->Cli({"top", "--interval=0s"});
  EXPECT_EQ(busy.exit_code, 2) << busy;
  EXPECT_THAT(busy.err, ::testing::HasSubstr("--interval"));

  const CommandResult flows = dp_->Cli({"flows"});
  EXPECT_TRUE(flows.ok()) << flows;
  EXPECT_THAT(flows.out, ::testing::HasSubstr("7000"));
}

TEST_F(ReloadTest, WhoFollowsSeesRecordsAsTheyAreWritten) {
  auto follower = ChildProcess::Start({.argv = {BinaryPath("lattice"), "dp", "flows", "--follow", "--denied", "--json",
                                                "--iface=wg0", "--admin-socket=" + dp_->admin_socket()},
                                       .netns = node().path()});
  ASSERT_TRUE(follower.ok()) << follower.status();
  EXPECT_TRUE(WaitUntil([&] {
    (void)Passes(7001);
    return (*follower)->out().find("\"dst_port\":7001") != std::string::npos;
  })) << (*follower)->err();
  EXPECT_EQ((*follower)->out().find("\"event\":\"start\""), std::string::npos) << "--denied";
}

TEST_F(ReloadTest, DetachEndsARunningDaemonAndEveryFlow) {
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "start"; }).has_value());
  // Who can't reach the daemon does not take its pins away.
  const CommandResult blind =
      RunCommand(node().Inside({BinaryPath("lattice"), "dp", "detach", "--iface=wg0", "--pin-path=" + dp_->pin_path(),
                                "--admin-socket=" + dir_.File("nobody")}));
  EXPECT_EQ(blind.exit_code, 1) << blind;
  EXPECT_THAT(blind.err, ::testing::HasSubstr(std::to_string(dp_->pid())));
  EXPECT_FALSE(FolderEntries(dp_->pin_folder()).empty());

  const pid_t pid = dp_->pid();
  const CommandResult detached = dp_->Cli({"detach"});
  EXPECT_TRUE(detached.ok()) << detached;
  EXPECT_FALSE(dp_->running()) << "who detached may start the next one";
  EXPECT_THAT(detached.out, ::testing::HasSubstr(absl::StrCat("latticed-dp (pid ", pid, ") has ended")));
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr("nothing of ours is left"));
  EXPECT_TRUE(FolderEntries(dp_->pin_folder()).empty());
  EXPECT_FALSE(dp_->Records([](const AuditRecord& r) { return r["event"] == "end"; }).empty());
  const auto policies = dp_->Records([](const AuditRecord& r) { return r["event"] == "policy"; });
  ASSERT_GE(policies.size(), 2u);
  EXPECT_EQ(policies.back()["policyGeneration"], "0") << "who reads the records sees that it was ended";
  EXPECT_TRUE(Passes(7001)) << "nothing is enforced now";
}

}  // namespace
}  // namespace lattice::testing
