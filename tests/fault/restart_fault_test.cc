// What one latticed-dp leaves and the next takes over: whatever order and flags they come in, each packet is told once,
// as what happened to it, and what is enforced no more is said.
#include <map>

#include "tests/fault/fault_test.h"

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

}  // namespace
}  // namespace lattice::testing
