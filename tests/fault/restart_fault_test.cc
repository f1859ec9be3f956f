// What one latticed-dp leaves and the next takes over: whatever order and flags they come in, each packet is told once,
// as what happened to it, and what is enforced no more is said.
#include <map>

#include "tests/fault/fault_test.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

class RestartFaultTest : public FaultTest {
 protected:
  void SetMode(const std::string& mode) { dp_->args().back() = "--mode=" + mode; }
  // Packets of denied records by mode.
  std::map<std::string, uint64_t> Denied() const {
    std::map<std::string, uint64_t> packets;
    for (const AuditRecord& r : dp_->Records([](const AuditRecord& r) { return r["event"] == "denied"; })) {
      packets[r["mode"]] += r.Number("packetsOut");
    }
    return packets;
  }
  void Attempts(int count) {
    for (int i = 0; i < count; ++i) Send("192.0.2.9", 1000, 54, 1);
  }
};

TEST_F(RestartFaultTest, AStopWritesWhatDeniedAttemptsCounted) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53"}));
  Attempts(7);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  EXPECT_THAT(Denied(), ::testing::ElementsAre(std::pair("enforce", 7u)));
}

TEST_F(RestartFaultTest, WhatPassedInAuditModeIsNotToldAsDropped) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53", "--mode=audit"}));
  Attempts(3);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  Attempts(4);  // with no daemon: they pass, too
  SetMode("enforce");
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  Attempts(5);
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  EXPECT_THAT(Denied(), ::testing::ElementsAre(std::pair("audit", 7u), std::pair("enforce", 5u)));
}

TEST_F(RestartFaultTest, WhatTheFlagsOfAStartEndIsSaidOnce) {
  constexpr char kEnded[] = "enforced until this start, and not any more: dropping on wg0: --mode=audit only records";
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53", "--mode=enforce"}));
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  SetMode("audit");
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr(kEnded));
  dp_->Kill();
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_THAT(dp_->log(), ::testing::Not(::testing::HasSubstr("not any more")));
  dp_->Kill();
  SetMode("enforce");
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_THAT(dp_->log(), ::testing::Not(::testing::HasSubstr("not any more")));
}

// The kernel counts on, and status shows it.
TEST_F(RestartFaultTest, StatusWithoutADaemonShowsWhatTheKernelCounted) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53", "--mode=enforce"}));
  dp_->Kill();
  Attempts(7);
  const CommandResult status = dp_->Cli({"status"});
  EXPECT_EQ(status.exit_code, 0) << status;
  EXPECT_THAT(status.out, ::testing::ContainsRegex("tc_egress +deny +7 "));
  EXPECT_THAT(status.out, ::testing::ContainsRegex("tc_egress +no_rule +7\n"));
}

// Nobody can write what is due any more: the next daemon tells how much that was, and gives no number twice, also in
// another audit file.
TEST_F(RestartFaultTest, ADetachWithoutADaemonIsToldByTheNextOne) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.9:53", "--flow-idle-timeout=1h", "--node=n1"}));
  Send("192.0.2.9", 1000, 53, 1);
  ExpectStartRecords("192.0.2.9", 1);
  dp_->Kill();
  for (uint16_t port = 2000; port < 2020; ++port) Send("192.0.2.9", port, 53, 1);
  Attempts(3);
  uint64_t last = 0;
  for (const AuditRecord& record : dp_->Records()) last = std::max(last, record.Number("seq"));
  const CommandResult detached = dp_->Cli({"detach"});
  ASSERT_TRUE(detached.ok()) << detached;
  EXPECT_THAT(detached.err, ::testing::HasSubstr("are lost"));

  dp_->args().push_back("--audit-log=" + dp_->File("another.jsonl"));
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  EXPECT_TRUE(dp_->WaitForLog("generation 1"));
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  const absl::StatusOr<std::string> text = ReadFile(dp_->File("another.jsonl"));
  ASSERT_TRUE(text.ok()) << text.status();
  uint64_t lost = 0;
  for (const AuditRecord& record : ParseAuditLines(*text)) {
    EXPECT_GT(record.Number("seq"), last) << record;
    if (record["stage"] == "detached") lost += record.Number("count");
  }
  // 21 ends, 20 starts that wait in the ring, the attempt and its news; the kernel's own packets may add to them.
  EXPECT_GE(lost, 21u + 20 + 1);
  EXPECT_LE(lost, 21u + 20 + 1 + 20);
}

}  // namespace
}  // namespace lattice::testing
