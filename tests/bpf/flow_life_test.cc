// How flows end, begin again, and change with the policy.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// GetParam() is the egress hook of a scope.
class FlowLife : public HookTest {
 protected:
  lat_verdict Out(const Packet& packet) { return bpf.Run(egress(), packet); }
  lat_verdict In(const Packet& packet) { return bpf.Run(ingress(), packet); }
  lat_flow6_key key(uint8_t protocol) const { return FlowKey(Ends4(), protocol, scope()); }
  const Packet udp_out = Udp(Ends4(), LAT_EGRESS), udp_in = Udp(Ends4(), LAT_INGRESS);
  Packet TcpOut(uint8_t flags) const { return Tcp(Ends4(), LAT_EGRESS, flags); }
  Packet TcpIn(uint8_t flags) const { return Tcp(Ends4(), LAT_INGRESS, flags); }
  const lat_config config = TestConfig();
};
LATTICE_OVER_BOTH_SCOPES(FlowLife);

TEST_P(FlowLife, AFlowIdleForLongerThanItsTimeIsANewOne) {
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  EXPECT_EQ(In(udp_in), LAT_ALLOW);
  const uint64_t first_start = bpf.FlowRecords().at(0).start_ns;
  bpf.Age(key(17), config.idle_jiffies + 1000);
  EXPECT_EQ(In(udp_in), LAT_DENY) << "its reply right has ended with it";
  const auto end = bpf.FlowRecords();
  ASSERT_THAT(end, SizeIs(1));
  EXPECT_EQ(end[0].event, LAT_EVENT_END);
  EXPECT_EQ(end[0].end_reason, LAT_END_IDLE);
  EXPECT_EQ(end[0].packets[LAT_INGRESS], 1u);
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  EXPECT_EQ(In(udp_in), LAT_ALLOW);
  const auto start = bpf.FlowRecords();
  ASSERT_THAT(start, SizeIs(1));
  EXPECT_EQ(start[0].event, LAT_EVENT_START);
  EXPECT_GT(start[0].start_ns, first_start);
  const auto flow = *bpf.Flow(key(17));
  EXPECT_EQ(flow.packets[LAT_EGRESS], 1u);
  EXPECT_EQ(flow.packets[LAT_INGRESS], 1u);
}

TEST_P(FlowLife, AnIdleFlowBeginsAgainInOnePacket) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Age(key(17), config.idle_jiffies + 1000);
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(3));
  EXPECT_EQ(records[1].event, LAT_EVENT_END);
  EXPECT_EQ(records[2].event, LAT_EVENT_START);
  EXPECT_EQ(records[2].packets[LAT_EGRESS], 1u);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOWS_STARTED), 2u);
  EXPECT_EQ(bpf.Count(+LAT_COUNT_FLOWS_ENDED + LAT_END_IDLE), 1u);
  EXPECT_EQ(bpf.Flow(key(17))->ended, 0u) << "the claim is given back";
}

TEST_P(FlowLife, AnEstablishedConnectionLivesLonger) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  bpf.Age(key(6), config.idle_jiffies + 1000);
  bpf.Sweep();
  EXPECT_FALSE(bpf.Flow(key(6))) << "half open";
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kSyn | kAck)), LAT_ALLOW);
  bpf.Age(key(6), config.idle_jiffies + 1000);
  bpf.Sweep();
  ASSERT_TRUE(bpf.Flow(key(6)));
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW);
  EXPECT_EQ(bpf.Flow(key(6))->packets[LAT_EGRESS], 2u);
  bpf.Age(key(6), config.tcp_idle_jiffies + 1000);
  bpf.Sweep();
  EXPECT_FALSE(bpf.Flow(key(6)));
}

TEST_P(FlowLife, AResetEndsAfterTheLingerTime) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kRst | kAck)), LAT_ALLOW);
  bpf.Sweep();
  EXPECT_TRUE(bpf.Flow(key(6)));
  bpf.FlowRecords();
  bpf.Age(key(6), config.linger_jiffies + 1000);
  bpf.Sweep();
  EXPECT_FALSE(bpf.Flow(key(6)));
  EXPECT_EQ(bpf.FlowRecords().at(0).end_reason, LAT_END_RST);
}

TEST_P(FlowLife, WhatComesAfterTheCloseDoesNotKeepTheRightToAnswer) {
  bpf.Publish(Rules(""));
  EXPECT_EQ(In(TcpIn(kSyn)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn | kAck)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kRst | kAck)), LAT_ALLOW);
  bpf.FlowRecords();
  bpf.Age(key(6), config.linger_jiffies - 1000);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW) << "within the linger time";
  bpf.Age(key(6), 2000);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_DENY);
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].end_reason, LAT_END_RST);
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 3u);
}

TEST_P(FlowLife, APacketThatMeetsTheDeletionOfItsEntryIsToldAsUntracked) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  for (const uint64_t age : {uint64_t{0}, uint64_t{config.idle_jiffies} + 1000}) {
    lat_flow flow = *bpf.Flow(key(17));
    flow.ended = LAT_CLAIM_DYING;  // as the sweep leaves it until the entry is gone
    bpf.SetFlow(key(17), flow);
    bpf.Age(key(17), age);
    EXPECT_EQ(Out(udp_out), LAT_ALLOW);
    EXPECT_EQ(bpf.Flow(key(17))->packets[LAT_EGRESS], 1u);
  }
  EXPECT_EQ(bpf.Count(LAT_COUNT_UNTRACKED_PACKETS), 2u);
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(udp_out), LAT_DENY) << "the policy is asked all the same";
}

// Another CPU holds the claim, so the entry goes on saying what the policy before allowed.
TEST_P(FlowLife, AClaimedEntryDoesNotOutliveThePolicyThatPermittedIt) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(In(TcpIn(kAck)), LAT_ALLOW) << "mid-stream: no right to answer";
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW) << "by the egress policy";
  lat_flow flow = *bpf.Flow(key(6));
  ASSERT_EQ(flow.verdict[LAT_EGRESS], LAT_ALLOW);
  flow.ended = LAT_CLAIM_HELD;
  bpf.SetFlow(key(6), flow);
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_DENY);
  EXPECT_EQ(In(TcpIn(kAck)), LAT_ALLOW);
  EXPECT_EQ(In(Unreachable(Ip(kRouter4), TcpOut(kAck))), LAT_ALLOW) << "ingress is open";
}

TEST_P(FlowLife, FinOneWayIsNoEnd) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kSyn | kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kFin | kAck)), LAT_ALLOW);
  bpf.Age(key(6), config.linger_jiffies + 1000);
  bpf.Sweep();
  EXPECT_TRUE(bpf.Flow(key(6)));
}

TEST_P(FlowLife, ANewSynOnAClosedConnectionBeginsANewFlow) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kRst)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(3));
  EXPECT_EQ(records[1].end_reason, LAT_END_RST);
  EXPECT_EQ(records[1].packets[LAT_EGRESS], 2u);
  EXPECT_EQ(records[2].event, LAT_EVENT_START);
  EXPECT_EQ(bpf.Flow(key(6))->tcp_flags[LAT_INGRESS], 0u);
}

TEST_P(FlowLife, TheRightToAnswerIsNoRightToBegin) {
  bpf.Publish(Rules(""));
  EXPECT_EQ(In(TcpIn(kSyn)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_DENY);
  EXPECT_EQ(Out(TcpOut(kSyn | kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_DENY);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_ALLOW);
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW) << "a simultaneous open that the policy allows";
}

TEST_P(FlowLife, ANewSynOnAClosedConnectionFromOutsideIsJudgedByTheEgressPolicy) {
  bpf.Publish(Rules(""));
  EXPECT_EQ(In(TcpIn(kSyn)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kRst | kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_DENY);
}

TEST_P(FlowLife, APolicyThatKeepsAFlowLosesNoPacketOfIt) {
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  for (int i = 0; i < 5; i++) {
    const uint32_t generation = bpf.Publish(Rules("1.0.0.0/8\n0.0.0.0/0:400-500", {.ingress_deny = true}));
    EXPECT_EQ(In(udp_in), LAT_ALLOW);
    EXPECT_EQ(Out(udp_out), LAT_ALLOW);
    const auto flow = *bpf.Flow(key(17));
    EXPECT_EQ(flow.generation, generation);
    EXPECT_EQ(flow.rule, 2u);
  }
  EXPECT_THAT(bpf.FlowRecords(), SizeIs(1));
  EXPECT_EQ(bpf.Flow(key(17))->packets[LAT_EGRESS], 6u);
}

TEST_P(FlowLife, ARevokedFlowEndsAtItsNextPacketAndItsRepliesGiveNoRight) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  EXPECT_EQ(In(udp_in), LAT_ALLOW);
  bpf.FlowRecords();
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].end_reason, LAT_END_REVOKED);
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 1u);
  EXPECT_EQ(records[0].packets[LAT_INGRESS], 1u);
  // Ingress is open: what still comes passes, is a flow of its own, and earns no answer.
  EXPECT_EQ(In(udp_in), LAT_ALLOW);
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  const auto begun = bpf.FlowRecords();
  ASSERT_THAT(begun, SizeIs(1));
  EXPECT_EQ(begun[0].event, LAT_EVENT_START);
  EXPECT_EQ(begun[0].direction, LAT_INGRESS);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_NO_RULE), 2u);
}

TEST_P(FlowLife, ARevokedFlowWhosePeerSpeaksFirstIsRevokedToo) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.FlowRecords();
  bpf.Publish(Rules(""));
  EXPECT_EQ(In(udp_in), LAT_ALLOW) << "by the ingress policy";
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(2));
  EXPECT_EQ(records[0].end_reason, LAT_END_REVOKED);
  EXPECT_EQ(records[0].packets[LAT_INGRESS], 0u);
  EXPECT_EQ(records[1].event, LAT_EVENT_START);
}

TEST_P(FlowLife, ARevokedReplyIsDeniedWhereIngressIsClosed) {
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Publish(Rules("", {.ingress_deny = true}));
  EXPECT_EQ(In(udp_in), LAT_DENY);
}

TEST_P(FlowLife, APeerMayConnectAnewToWhomItWasRevoked) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(TcpOut(kSyn)), LAT_ALLOW);
  EXPECT_EQ(In(TcpIn(kSyn | kAck)), LAT_ALLOW);
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_DENY);
  EXPECT_EQ(In(TcpIn(kAck)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_DENY);
  EXPECT_EQ(In(TcpIn(kSyn)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn | kAck)), LAT_ALLOW);
}

TEST_P(FlowLife, ARevokedFlowThatIsAllowedAgainBeginsAnew) {
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Publish(Rules("", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  EXPECT_EQ(In(udp_in), LAT_ALLOW);
  EXPECT_EQ(bpf.Flow(key(17))->packets[LAT_EGRESS], 1u);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOWS_STARTED), 2u);
}

TEST_P(FlowLife, AnInboundFlowIsJudgedAgainByTheIngressPolicy) {
  bpf.Publish(Rules("ingress 0.0.0.0/0:40000", {.ingress_deny = true}));
  EXPECT_EQ(In(TcpIn(kSyn)), LAT_ALLOW);
  EXPECT_EQ(Out(TcpOut(kSyn | kAck)), LAT_ALLOW);
  bpf.Publish(Rules("ingress 0.0.0.0/0:40001", {.ingress_deny = true}));
  EXPECT_EQ(Out(TcpOut(kAck)), LAT_DENY);
  EXPECT_EQ(In(TcpIn(kAck)), LAT_DENY);
}

TEST_P(FlowLife, UnpublishingDeniesLiveFlows) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Unpublish();
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_NO_POLICY), 1u);
}

TEST_P(FlowLife, TheRemainsOfARevokedFlowGoSilently) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  bpf.FlowRecords();
  bpf.Age(key(17), config.idle_jiffies + 1000);
  bpf.Sweep();
  EXPECT_FALSE(bpf.Flow(key(17)));
  EXPECT_THAT(bpf.FlowRecords(), IsEmpty());
}

TEST_P(FlowLife, NoRightToAnswerIsForgottenWithTheIdleTime) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(Out(udp_out), LAT_ALLOW);
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(udp_out), LAT_DENY);
  bpf.Age(key(17), config.idle_jiffies + 1000);
  EXPECT_EQ(In(udp_in), LAT_ALLOW) << "a question from outside, long after";
  EXPECT_EQ(Out(udp_out), LAT_ALLOW) << "may be answered";
}

}  // namespace
}  // namespace lattice::testing
