// What is counted: segments, records, the sweep's reports.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

struct GsoCase {
  std::string name;
  Packet packet;  // of egress
  uint32_t size;
  uint32_t segments;  // as the skb says
  uint32_t wire;      // as it is
  uint32_t headers;   // of each, without the link layer
};

void PrintTo(const GsoCase& c, std::ostream* out) {
  *out << c.name;
}

Packet WithOptions(Packet packet) {
  packet.options = std::string(8, '\1');
  return packet;
}

Packet WithTotal(Packet packet, uint16_t total) {
  packet.total_length = total;
  return packet;
}

Packet WithJumbo(Packet packet) {
  packet.extensions = {{0, std::string("\0\xc2\4\0\0\0\0", 7)}};
  packet.total_length = 0;
  return packet;
}

class Gso : public BpfTest, public ::testing::WithParamInterface<std::tuple<lat_hook, GsoCase>> {};

TEST_P(Gso, CountsWhatGoesOnTheWire) {
  const auto& [hook, c] = GetParam();
  Packet packet = c.packet;
  packet.gso_size = c.size;
  packet.gso_segs = c.segments;
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  const uint64_t l2 = ScopeOf(hook) == LAT_SCOPE_IFACE ? 14 : 0;
  const uint64_t jumbo = packet.extensions.empty() ? 0 : 8;
  const uint64_t bytes = packet.IpBytes().size() - jumbo + l2 + (c.wire - 1) * (c.headers + l2);
  for (uint64_t i = 1; i <= 2; i++) {  // once as a new flow, once as a known one
    ASSERT_EQ(bpf.Run(hook, packet), LAT_ALLOW);
    const lat_counters counted = bpf.HookStats(hook, LAT_ALLOW);
    EXPECT_EQ(counted.packets, i);
    EXPECT_EQ(counted.wire_packets, i * c.wire);
    EXPECT_EQ(counted.bytes, i * bytes);
    const Ends ends = EndsOf(packet.is_v6());
    const auto flow = bpf.Flow(FlowKey(ends, packet.protocol, ScopeOf(hook)));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->packets[LAT_EGRESS], i);
    EXPECT_EQ(flow->gso_extra[LAT_EGRESS], i * (c.wire - 1));
    EXPECT_EQ(flow->bytes[LAT_EGRESS], i * bytes);
  }
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].wire_packets[LAT_EGRESS], c.wire);
  EXPECT_EQ(records[0].bytes[LAT_EGRESS], bytes);
}

const GsoCase kGsoCases[] = {
    {"TcpSegments", Tcp(Ends4(), LAT_EGRESS, kAck, 3000), 1000, 3, 3, 40},
    {"LastSegmentShorter", Tcp(Ends4(), LAT_EGRESS, kAck, 2001), 1000, 3, 3, 40},
    {"OneSegment", Tcp(Ends4(), LAT_EGRESS, kAck, 500), 1000, 1, 1, 40},
    {"UdpSegments", Udp(Ends4(), LAT_EGRESS, 3500), 350, 10, 10, 28},
    {"TcpSegmentsIpv6", Tcp(Ends6(), LAT_EGRESS, kAck, 3000), 1000, 3, 3, 60},
    {"UdpSegmentsIpv6", Udp(Ends6(), LAT_EGRESS, 3500), 350, 10, 10, 48},
    {"OptionsAreInEverySegment", WithOptions(Tcp(Ends4(), LAT_EGRESS, kAck, 3000)), 1000, 3, 3, 48},
    // A guest's skb says the size only.
    {"SegmentsNotSaid", Tcp(Ends4(), LAT_EGRESS, kAck, 2001), 1000, 0, 3, 40},
    {"SegmentsNotSaidIpv6", Udp(Ends6(), LAT_EGRESS, 2000), 1000, 0, 2, 48},
    // BIG TCP: the length does not fit its field.
    {"TotalLengthZero", WithTotal(Tcp(Ends4(), LAT_EGRESS, kAck, 3000), 0), 1000, 3, 3, 40},
    {"PayloadLengthZero", WithTotal(Tcp(Ends6(), LAT_EGRESS, kAck, 3000), 0), 1000, 3, 3, 60},
    {"JumboOptionIsTakenOut", WithJumbo(Tcp(Ends6(), LAT_EGRESS, kAck, 3000)), 1000, 3, 3, 60},
};

std::string GsoName(const ::testing::TestParamInfo<std::tuple<lat_hook, GsoCase>>& info) {
  return std::string(HookName(std::get<0>(info.param))) + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Packets, Gso,
                         ::testing::Combine(::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_CGROUP_EGRESS),
                                            ::testing::ValuesIn(kGsoCases)),
                         GsoName);

class Records : public HookTest {};
LATTICE_OVER_BOTH_SCOPES(Records);

TEST_P(Records, EndHasTheTotalsOfBothDirections) {
  bpf.Publish(Rules("0.0.0.0/0"));
  const Packet out = Tcp(Ends4(), LAT_EGRESS, kAck, 1000), in = Tcp(Ends4(), LAT_INGRESS, kAck, 20);
  bpf.Run(egress(), Tcp(Ends4(), LAT_EGRESS, kSyn));
  bpf.Run(ingress(), Tcp(Ends4(), LAT_INGRESS, kSyn | kAck));
  for (int i = 0; i < 3; i++) bpf.Run(egress(), out);
  bpf.Run(ingress(), in);
  bpf.Run(egress(), Tcp(Ends4(), LAT_EGRESS, kFin | kAck));
  bpf.Run(ingress(), Tcp(Ends4(), LAT_INGRESS, kFin | kAck));
  const auto start = bpf.FlowRecords();
  ASSERT_THAT(start, SizeIs(1));
  const auto key = FlowKey(Ends4(), 6, scope());
  bpf.Age(key, TestConfig().linger_jiffies + 1000);
  const lat_sweep sweep = bpf.Sweep();
  EXPECT_EQ(sweep.flows4, 1u);
  EXPECT_EQ(sweep.ended, 1u);
  EXPECT_EQ(sweep.more, 0u);
  const auto end = bpf.FlowRecords();
  ASSERT_THAT(end, SizeIs(1));
  const lat_record& r = end[0];
  EXPECT_EQ(r.event, LAT_EVENT_END);
  EXPECT_EQ(r.end_reason, LAT_END_FIN);
  EXPECT_EQ(r.start_ns, start[0].start_ns);
  EXPECT_GE(r.time_ns, r.start_ns);
  EXPECT_GE(r.idle_ns, (TestConfig().linger_jiffies + 1000) * TestConfig().ns_per_jiffy);
  EXPECT_EQ(r.packets[LAT_EGRESS], 5u);
  EXPECT_EQ(r.packets[LAT_INGRESS], 3u);
  EXPECT_EQ(r.wire_packets[LAT_EGRESS], 5u);
  EXPECT_EQ(r.bytes[LAT_EGRESS], bpf.HookStats(egress(), LAT_ALLOW).bytes);
  EXPECT_EQ(r.bytes[LAT_INGRESS], bpf.HookStats(ingress(), LAT_ALLOW).bytes);
  EXPECT_EQ(r.tcp_flags[LAT_EGRESS], kSyn | kAck | kFin);
  EXPECT_EQ(r.local_port, 40000);
  EXPECT_EQ(r.remote_port, 443);
  EXPECT_FALSE(bpf.Flow(key));
  EXPECT_EQ(bpf.Count(+LAT_COUNT_FLOWS_ENDED + LAT_END_FIN), 1u);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOWS_STARTED), 1u);
}

TEST_P(Records, UpdatesComeAfterTheActiveTimeAndOnlyIfSomethingHappened) {
  bpf.Publish(Rules("0.0.0.0/0"));
  const auto key = FlowKey(Ends4(), 17, scope());
  bpf.Run(egress(), Udp(Ends4(), LAT_EGRESS));
  bpf.FlowRecords();
  bpf.Sweep();
  EXPECT_THAT(bpf.FlowRecords(), IsEmpty());
  auto flow = *bpf.Flow(key);
  flow.last_report_jiffies -= TestConfig().active_jiffies;
  bpf.SetFlow(key, flow);
  bpf.Run(egress(), Udp(Ends4(), LAT_EGRESS));
  bpf.Sweep();
  const auto records = bpf.FlowRecords();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].event, LAT_EVENT_UPDATE);
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 2u) << "totals since the start";
  bpf.Age(key, TestConfig().active_jiffies);
  bpf.Sweep();
  EXPECT_THAT(bpf.FlowRecords(), IsEmpty()) << "silent since its last report";
}

TEST_P(Records, OfDeniedAttemptsSumUpToWhatWasDenied) {
  bpf.Publish(Rules(""));
  const Packet packet = Udp(Ends4(), LAT_EGRESS, 500);
  for (int i = 0; i < 4; i++) bpf.Run(egress(), packet);
  bpf.Sweep();
  auto records = bpf.DeniedRecords();
  ASSERT_THAT(records, SizeIs(1)) << "the interval is not over";
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 1u);
  EXPECT_EQ(records[0].local_port, 40000);
  EXPECT_EQ(records[0].remote_port, 443);
  auto [key, entry] = bpf.Denied()[0];
  entry.last_report_jiffies -= TestConfig().denied_jiffies;
  bpf.SetDenied(key, entry);
  bpf.Sweep();
  records = bpf.DeniedRecords();
  ASSERT_THAT(records, SizeIs(1));
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 3u) << "what came since the record before";
  EXPECT_EQ(records[0].bytes[LAT_EGRESS], 3 * (528u + (scope() == LAT_SCOPE_IFACE ? 14 : 0)));
  EXPECT_EQ(records[0].start_ns, entry.first_ns);
  bpf.Sweep();
  EXPECT_THAT(bpf.DeniedRecords(), IsEmpty());
  entry = bpf.Denied()[0].second;
  entry.last_seen_jiffies -= 2 * TestConfig().denied_jiffies + 1000;
  bpf.SetDenied(key, entry);
  bpf.Sweep();
  EXPECT_THAT(bpf.Denied(), IsEmpty());
}

TEST_P(Records, AFlushTellsWhatDeniedAttemptsCountedAndEndsNothing) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  bpf.Run(egress(), Udp(Ends4(), LAT_EGRESS));
  for (int i = 0; i < 4; i++) bpf.Run(egress(), Udp(Ends4({.remote_port = 444}), LAT_EGRESS));
  bpf.FlowRecords();
  bpf.DeniedRecords();
  bpf.Sweep(/*end_all=*/false, /*flush_denied=*/true);
  const auto records = bpf.DeniedRecords();
  ASSERT_THAT(records, SizeIs(1)) << "the interval is not over";
  EXPECT_EQ(records[0].packets[LAT_EGRESS], 3u);
  EXPECT_THAT(bpf.FlowRecords(), IsEmpty());
  EXPECT_EQ(bpf.FlowCount(), 1u);
  EXPECT_THAT(bpf.Denied(), SizeIs(1)) << "one that goes on is one entry";
  bpf.Sweep(/*end_all=*/false, /*flush_denied=*/true);
  EXPECT_THAT(bpf.DeniedRecords(), IsEmpty());
}

TEST_P(Records, EndAllEndsEverything) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443"));
  for (uint16_t port = 1; port <= 20; port++) {
    bpf.Run(egress(), Udp(Ends4({.local_port = port}), LAT_EGRESS));
    bpf.Run(egress(), Udp(Ends6({.local_port = port}), LAT_EGRESS));
    bpf.Run(egress(), Udp(Ends4({.remote_port = port}), LAT_EGRESS));
  }
  bpf.FlowRecords();
  const lat_sweep sweep = bpf.Sweep(/*end_all=*/true);
  EXPECT_EQ(sweep.ended, 40u);
  EXPECT_EQ(sweep.denied, 20u);
  const auto records = bpf.FlowRecords();
  EXPECT_THAT(records, SizeIs(40));
  for (const lat_record& record : records) EXPECT_EQ(record.end_reason, LAT_END_SHUTDOWN);
  EXPECT_EQ(bpf.FlowCount(), 0u);
  EXPECT_THAT(bpf.Denied(), IsEmpty());
}

}  // namespace
}  // namespace lattice::testing
