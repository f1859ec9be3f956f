// Tables and rings that are full: nothing passes uncounted, nothing is lost untold.
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr uint32_t kFlows = 16;

class SmallTables : public HookTest {
 protected:
  static BpfRunOptions Options(bool allow) {
    BpfRunOptions options;
    options.max_flows = kFlows;
    options.max_denied = kFlows;
    options.config.table_full_allow = allow ? 1 : 0;
    return options;
  }
  explicit SmallTables(bool allow = false) : HookTest(Options(allow)) {}
  Packet Nth(uint32_t i, bool v6 = false) const {
    return Udp(EndsOf(v6, {.local_port = static_cast<uint16_t>(i + 1)}), LAT_EGRESS);
  }
  // Every entry of the family is taken afterwards.
  void Fill(bool v6 = false) {
    for (uint32_t i = 0; i < kFlows; i++) ASSERT_EQ(bpf.Run(egress(), Nth(i, v6)), LAT_ALLOW);
  }
};
LATTICE_OVER_BOTH_SCOPES(SmallTables);

TEST_P(SmallTables, DenyANewFlowWithItsOwnReason) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  for (bool v6 : {false, true}) {
    Fill(v6);
    EXPECT_EQ(bpf.Run(egress(), Nth(kFlows, v6)), LAT_DENY);
    EXPECT_EQ(bpf.Run(egress(), Nth(0, v6)), LAT_ALLOW) << "a known flow is not disturbed";
  }
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_FLOW_TABLE_FULL), 2u);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOW_TABLE_FULL), 2u);
  EXPECT_EQ(bpf.MapErrors(LAT_MAP_FLOWS4, LAT_ERRNO_E2BIG), 1u);
  EXPECT_EQ(bpf.MapErrors(LAT_MAP_FLOWS6, LAT_ERRNO_E2BIG), 1u);
  EXPECT_EQ(bpf.DeniedRecords().at(0).reason, LAT_REASON_FLOW_TABLE_FULL);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOWS_STARTED), 2 * kFlows);
}

TEST_P(SmallTables, HaveRoomAgainAfterTheSweep) {
  bpf.Publish(Rules("0.0.0.0/0"));
  Fill();
  bpf.Age(FlowKey(Ends4({.local_port = 1}), 17, scope()), TestConfig().idle_jiffies + 1000);
  EXPECT_EQ(bpf.Run(egress(), Nth(kFlows)), LAT_DENY);
  bpf.Sweep();
  EXPECT_EQ(bpf.Run(egress(), Nth(kFlows)), LAT_ALLOW);
}

TEST_P(SmallTables, OfDeniedAttemptsCountWhatNoRecordNames) {
  bpf.Publish(Rules(""));
  for (uint16_t port = 1; port <= kFlows + 3; port++) {
    EXPECT_EQ(bpf.Run(egress(), Udp(Ends4({.remote_port = port}), LAT_EGRESS)), LAT_DENY);
  }
  EXPECT_EQ(bpf.Count(LAT_COUNT_DENIED_TABLE_FULL), 3u);
  EXPECT_EQ(bpf.MapErrors(LAT_MAP_DENIED, LAT_ERRNO_E2BIG), 3u);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_NO_RULE), kFlows + 3);
  EXPECT_THAT(bpf.DeniedRecords(), SizeIs(kFlows));
}

TEST_P(SmallTables, AuditModePassesWhatTheTableHasNoRoomFor) {
  bpf.SetMode(LAT_MODE_AUDIT);
  bpf.Publish(Rules("0.0.0.0/0"));
  Fill();
  EXPECT_EQ(bpf.Run(egress(), Nth(kFlows)), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_FLOW_TABLE_FULL), 1u);
}

class SmallTablesAllow : public SmallTables {
 protected:
  SmallTablesAllow() : SmallTables(true) {}
};
LATTICE_OVER_BOTH_SCOPES(SmallTablesAllow);

TEST_P(SmallTablesAllow, CountUntrackedWhatTheyLetPass) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  Fill();
  const Packet packet = Nth(kFlows);
  EXPECT_EQ(bpf.Run(egress(), packet), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), packet), LAT_ALLOW);
  EXPECT_EQ(bpf.Count(LAT_COUNT_UNTRACKED_PACKETS), 2u);
  const uint64_t l2 = scope() == LAT_SCOPE_IFACE ? 14 : 0;
  EXPECT_EQ(bpf.Count(LAT_COUNT_UNTRACKED_BYTES), 2 * (packet.IpBytes().size() + l2));
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_UNTRACKED), 2u);
  EXPECT_EQ(bpf.Run(egress(), Udp(Ends4({.remote_port = 1}), LAT_EGRESS)), LAT_DENY) << "not what the policy denies";
  EXPECT_THAT(bpf.FlowRecords(), SizeIs(kFlows));
}

TEST_P(SmallTablesAllow, LetLaterFragmentsOfAnUntrackedDatagramPassUnderItsPolicyOnly) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  Fill();
  const Packet whole = Udp(Ends4(), LAT_EGRESS, 4000);
  EXPECT_EQ(bpf.Run(egress(), Fragment(whole, 7, 0, 1400)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Fragment(whole, 7, 1400, 1400)), LAT_ALLOW);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_UNTRACKED), 2u);
  bpf.Publish(Rules(""));
  EXPECT_EQ(bpf.Run(egress(), Fragment(whole, 7, 2800, 1400)), LAT_DENY);
}

class SmallRings : public HookTest {
 protected:
  static BpfRunOptions Options() {
    BpfRunOptions options;
    options.flow_ring_bytes = 4096;  // 25 records
    options.denied_ring_bytes = 4096;
    return options;
  }
  SmallRings() : HookTest(Options()) {}
};
LATTICE_OVER_BOTH_SCOPES(SmallRings);

TEST_P(SmallRings, LoseNoStart) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  constexpr uint16_t kMany = 60;
  for (uint16_t port = 1; port <= kMany; port++) {
    ASSERT_EQ(bpf.Run(egress(), Udp(EndsOf(port % 2 == 0, {.local_port = port}), LAT_EGRESS)), LAT_ALLOW);
  }
  EXPECT_GT(bpf.Count(LAT_COUNT_FLOW_RING_FULL), 0u);
  std::vector<lat_record> all = bpf.FlowRecords();
  EXPECT_LT(all.size(), kMany);
  int rounds = 0;
  for (bool more = true; more; rounds++) {
    more = bpf.Sweep().more != 0;
    for (const lat_record& record : bpf.FlowRecords()) all.push_back(record);
  }
  EXPECT_GT(rounds, 1);
  ASSERT_THAT(all, SizeIs(kMany));
  std::set<uint16_t> ports;
  for (const lat_record& record : all) {
    EXPECT_EQ(record.event, LAT_EVENT_START);
    EXPECT_EQ(record.packets[LAT_EGRESS], 1u);
    ports.insert(record.local_port);
  }
  EXPECT_THAT(ports, SizeIs(kMany)) << "each once";
  bpf.Sweep();
  EXPECT_THAT(bpf.FlowRecords(), IsEmpty());
}

TEST_P(SmallRings, LoseNoEnd) {
  bpf.Publish(Rules("0.0.0.0/0"));
  constexpr uint16_t kMany = 60;
  for (uint16_t port = 1; port <= kMany; port++) {
    bpf.Run(egress(), Udp(Ends4({.local_port = port}), LAT_EGRESS));
    bpf.FlowRecords();
  }
  int ends = 0;
  for (bool more = true; more;) {
    more = bpf.Sweep(/*end_all=*/true).more != 0;
    for (const lat_record& record : bpf.FlowRecords()) {
      EXPECT_EQ(record.event, LAT_EVENT_END);
      ends++;
    }
  }
  EXPECT_EQ(ends, kMany);
  EXPECT_EQ(bpf.FlowCount(), 0u);
}

TEST_P(SmallRings, LoseNoDeniedAttempt) {
  bpf.Publish(Rules(""));
  constexpr uint16_t kMany = 60;
  for (int round = 0; round < 2; round++) {
    for (uint16_t port = 1; port <= kMany; port++) {
      bpf.Run(egress(), Udp(Ends4({.remote_port = port}), LAT_EGRESS));
    }
  }
  EXPECT_GT(bpf.Count(LAT_COUNT_DENIED_RING_FULL), 0u);
  uint64_t packets = 0;
  for (const lat_record& record : bpf.DeniedRecords()) packets += record.packets[LAT_EGRESS];
  for (bool more = true; more;) {
    more = bpf.Sweep(/*end_all=*/true).more != 0;
    for (const lat_record& record : bpf.DeniedRecords()) packets += record.packets[LAT_EGRESS];
  }
  EXPECT_EQ(packets, 2u * kMany);
}

// Fills the flow ring with the starts of other flows.
class FullRing : public SmallRings {
 protected:
  void FillRing() {
    for (uint16_t port = 1; bpf.Count(LAT_COUNT_FLOW_RING_FULL) == 0; port++) {
      bpf.Run(egress(), Udp(Ends6({.local_port = port}), LAT_EGRESS));
    }
  }
  const lat_flow6_key key = FlowKey(Ends4(), 17, scope());
  const Packet out = Udp(Ends4(), LAT_EGRESS), in = Udp(Ends4(), LAT_INGRESS);
};
LATTICE_OVER_BOTH_SCOPES(FullRing);

TEST_P(FullRing, AnIdleFlowGoesOnInItsOldEntry) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  bpf.Run(egress(), out);
  FillRing();
  bpf.Age(key, TestConfig().idle_jiffies + 1000);
  EXPECT_EQ(bpf.Run(egress(), out), LAT_ALLOW);
  EXPECT_EQ(bpf.Flow(key)->packets[LAT_EGRESS], 2u);
  EXPECT_EQ(bpf.Flow(key)->ended, 0u);
}

TEST_P(FullRing, AnIdleFlowThatIsDeniedNowStaysDenied) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  bpf.Run(egress(), out);
  FillRing();
  bpf.Age(key, TestConfig().idle_jiffies + 1000);
  bpf.Publish(Rules("::/0"));
  EXPECT_EQ(bpf.Run(egress(), out), LAT_DENY);
}

// Its end must be told before the entry may be another connection's.
TEST_P(FullRing, ARevokedFlowIsNotOpenedAnewBeforeItsEndIsTold) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  const Ends ends = Ends4();
  bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn));
  FillRing();
  bpf.Publish(Rules("::/0"));
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kAck)), LAT_DENY);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn | kAck)), LAT_DENY);
  bpf.FlowRecords();
  bpf.Sweep();
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_ALLOW) << "sent again";
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn | kAck)), LAT_ALLOW);
  bpf.Sweep();
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kAck)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kAck)), LAT_ALLOW) << "the sweep leaves it alone";
}

TEST_P(FullRing, ARevokedFlowIsDeniedAtOnceAndEndedByTheSweep) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0", {.ingress_deny = true}));
  bpf.Run(egress(), out);
  bpf.Run(ingress(), in);
  FillRing();
  bpf.Publish(Rules("::/0", {.ingress_deny = true}));
  EXPECT_EQ(bpf.Run(egress(), out), LAT_DENY);
  EXPECT_EQ(bpf.Run(ingress(), in), LAT_DENY);
  EXPECT_TRUE(bpf.Flow(key)->flags & LAT_FLOW_REVOKED);
  bpf.FlowRecords();
  bpf.Sweep();
  int ends = 0;
  for (const lat_record& record : bpf.FlowRecords()) {
    if (record.event != LAT_EVENT_END) continue;
    ends++;
    EXPECT_EQ(record.end_reason, LAT_END_REVOKED);
    EXPECT_EQ(record.packets[LAT_EGRESS], 1u);
    EXPECT_EQ(record.packets[LAT_INGRESS], 1u);
  }
  EXPECT_EQ(ends, 1);
  EXPECT_TRUE(bpf.Flow(key)->flags & LAT_FLOW_VACANT);
}

}  // namespace
}  // namespace lattice::testing
