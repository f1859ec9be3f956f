// Which packets pass: rules, defaults, replies, connections, no policy, audit mode.
#include <functional>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Case {
  std::string name;
  std::string rules;
  std::function<Packet(lat_direction)> make;
  lat_verdict want;
  lat_reason reason;  // of the flow or of the denial
  uint32_t rule = 0;  // slot of egress + 1
  Packet packet = {};
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

// The rules are those of the hook's direction, so their slots begin where that one's do.
policy::RuleSet RulesOf(lat_direction direction, const std::string& text) {
  policy::RuleSet rules = Rules(text, {.ingress_deny = true});
  if (direction == LAT_INGRESS) std::swap(rules.egress, rules.ingress);
  return rules;
}

IpAddress Local(const Packet& packet, lat_direction direction) {
  return direction == LAT_EGRESS ? packet.source : packet.destination;
}
IpAddress Remote(const Packet& packet, lat_direction direction) {
  return direction == LAT_EGRESS ? packet.destination : packet.source;
}

// Every hook times the cases.
class HookVerdict : public BpfTest, public ::testing::WithParamInterface<std::tuple<lat_hook, Case>> {};

TEST_P(HookVerdict, IsOfTheRuleThatMatches) {
  const auto& [hook, table] = GetParam();
  const lat_direction direction = DirectionOf(hook);
  Case c = table;
  c.packet = c.make(direction);
  if (c.rule != 0 && direction == LAT_INGRESS) c.rule += BpfRun::kIngressSlots;
  bpf.Publish(RulesOf(direction, c.rules));
  ASSERT_EQ(bpf.Run(hook, c.packet), c.want);
  const lat_counters counted = bpf.HookStats(hook, c.want);
  EXPECT_EQ(counted.packets, 1u);
  EXPECT_EQ(counted.wire_packets, 1u);
  EXPECT_EQ(counted.bytes, c.packet.IpBytes().size() + (ScopeOf(hook) == LAT_SCOPE_IFACE ? 14 : 0));
  if (c.rule != 0) {
    EXPECT_EQ(bpf.RuleHits(c.rule - 1), 1u);
  }
  if (c.want == LAT_ALLOW) {
    EXPECT_EQ(bpf.FlowCount(), 1u);
    EXPECT_THAT(bpf.Denied(), IsEmpty());
    const std::vector<lat_record> records = bpf.FlowRecords();
    ASSERT_THAT(records, SizeIs(1));
    EXPECT_EQ(records[0].event, LAT_EVENT_START);
    EXPECT_EQ(records[0].verdict, LAT_ALLOW);
    EXPECT_EQ(records[0].reason, c.reason);
    EXPECT_EQ(records[0].rule, c.rule);
    EXPECT_EQ(records[0].direction, direction);
    EXPECT_EQ(records[0].scope, ScopeOf(hook));
    EXPECT_EQ(records[0].generation, bpf.generation());
    EXPECT_EQ(records[0].packets[direction], 1u);
    EXPECT_EQ(records[0].bytes[direction], counted.bytes);
    EXPECT_EQ(IpAddress::FromBytes(records[0].local), Local(c.packet, direction));
    EXPECT_EQ(IpAddress::FromBytes(records[0].remote), Remote(c.packet, direction));
    EXPECT_EQ(records[0].proto, c.packet.protocol);
  } else {
    EXPECT_EQ(bpf.FlowCount(), 0u);
    EXPECT_EQ(bpf.ReasonCount(hook, c.reason), 1u);
    const auto denied = bpf.Denied();
    ASSERT_THAT(denied, SizeIs(1));
    EXPECT_EQ(denied[0].first.reason, c.reason);
    EXPECT_EQ(denied[0].second.rule, c.rule);
    EXPECT_EQ(denied[0].second.packets, 1u);
    const std::vector<lat_record> records = bpf.DeniedRecords();
    ASSERT_THAT(records, SizeIs(1));
    EXPECT_EQ(records[0].event, LAT_EVENT_DENIED);
    EXPECT_EQ(records[0].verdict, LAT_DENY);
    EXPECT_EQ(records[0].reason, c.reason);
    EXPECT_EQ(records[0].rule, c.rule);
    EXPECT_EQ(records[0].packets[direction], 1u);
    EXPECT_EQ(IpAddress::FromBytes(records[0].remote), Remote(c.packet, direction));
    EXPECT_THAT(bpf.FlowRecords(), IsEmpty());
  }
}

// With `remote` and the port that the direction judges: of the remote end for egress, of ours for ingress.
Ends JudgedEnds(lat_direction direction, const char* remote, uint16_t port) {
  Ends ends = EndsOf(!Ip(remote).is_v4());
  ends.remote = Ip(remote);
  (direction == LAT_EGRESS ? ends.remote_port : ends.local_port) = port;
  return ends;
}

std::function<Packet(lat_direction)> TcpTo(const char* remote, uint16_t port) {
  return [=](lat_direction direction) { return Tcp(JudgedEnds(direction, remote, port), direction, kSyn); };
}

std::function<Packet(lat_direction)> UdpTo(const char* remote, uint16_t port) {
  return [=](lat_direction direction) { return Udp(JudgedEnds(direction, remote, port), direction); };
}

std::function<Packet(lat_direction)> ProtocolTo(const char* remote, uint8_t protocol) {
  return [=](lat_direction direction) {
    return Raw(JudgedEnds(direction, remote, 0), direction, protocol, std::string(24, 'p'));
  };
}

const Case kCases[] = {
    {"NothingAllowed", "", TcpTo("198.51.100.7", 443), LAT_DENY, LAT_REASON_NO_RULE},
    {"NothingAllowedIpv6", "", TcpTo("2001:db8:2::7", 443), LAT_DENY, LAT_REASON_NO_RULE},
    {"PortInRule", "0.0.0.0/0:443", TcpTo("198.51.100.7", 443), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"PortInRuleIpv6", "[2001:db8::/32]:443", TcpTo("2001:db8:2::7", 443), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"OtherPort", "0.0.0.0/0:443", TcpTo("198.51.100.7", 444), LAT_DENY, LAT_REASON_NO_RULE},
    {"OtherFamily", "0.0.0.0/0:443", TcpTo("2001:db8:2::7", 443), LAT_DENY, LAT_REASON_NO_RULE},
    {"UdpByAPortWithoutProtocol", "0.0.0.0/0:443", UdpTo("198.51.100.7", 443), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"UdpByATcpRule", "0.0.0.0/0:443/tcp", UdpTo("198.51.100.7", 443), LAT_DENY, LAT_REASON_NO_RULE},
    {"DenyWins", "198.51.100.0/24\ndeny 198.51.100.7/32", TcpTo("198.51.100.7", 443), LAT_DENY, LAT_REASON_DENY_RULE,
     2},
    {"BesideTheDeny", "198.51.100.0/24\ndeny 198.51.100.7/32", TcpTo("198.51.100.8", 443), LAT_ALLOW,
     LAT_REASON_ALLOW_RULE, 1},
    {"FirstPortOfRange", "10.0.0.0/8:8000-8100", TcpTo("10.1.2.3", 8000), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"BelowRange", "10.0.0.0/8:8000-8100", TcpTo("10.1.2.3", 7999), LAT_DENY, LAT_REASON_NO_RULE},
    {"LastPortOfRange", "10.0.0.0/8:8000-8100", TcpTo("10.1.2.3", 8100), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"AboveRange", "10.0.0.0/8:8000-8100", TcpTo("10.1.2.3", 8101), LAT_DENY, LAT_REASON_NO_RULE},
    {"NarrowPrefixKeepsPortsOfTheWide", "10.0.0.0/8:80\n10.1.0.0/16:443", TcpTo("10.1.2.3", 80), LAT_ALLOW,
     LAT_REASON_ALLOW_RULE, 1},
    {"OtherProtocolByABareRule", "198.51.100.7", ProtocolTo("198.51.100.7", 47), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
    {"OtherProtocolByAPortRule", "198.51.100.7:443", ProtocolTo("198.51.100.7", 47), LAT_DENY, LAT_REASON_NO_RULE},
    {"EspIpv6ByABareRule", "2001:db8::/32", ProtocolTo("2001:db8:2::7", 50), LAT_ALLOW, LAT_REASON_ALLOW_RULE, 1},
};

std::string CaseName(const ::testing::TestParamInfo<std::tuple<lat_hook, Case>>& info) {
  return std::string(HookName(std::get<0>(info.param))) + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Rules, HookVerdict,
                         ::testing::Combine(::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS,
                                                              LAT_HOOK_CGROUP_EGRESS, LAT_HOOK_CGROUP_INGRESS),
                                            ::testing::ValuesIn(kCases)),
                         CaseName);

// Every hook, both families.
class AnyHook : public HookTest {};
LATTICE_OVER_EVERY_HOOK(AnyHook);

TEST_P(AnyHook, DeniesEverythingWithoutAPolicy) {
  for (bool v6 : {false, true}) {
    EXPECT_EQ(bpf.Run(hook(), Tcp(EndsOf(v6), direction(), kSyn)), LAT_DENY);
    EXPECT_EQ(bpf.Run(hook(), Udp(EndsOf(v6), direction())), LAT_DENY);
  }
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NO_POLICY), 4u);
  EXPECT_EQ(bpf.FlowCount(), 0u);
}

TEST_P(AnyHook, DeniesWhenTheSlotHoldsAnotherGeneration) {
  const uint32_t generation = bpf.Publish(Rules("0.0.0.0/0", {.egress_deny = false}));
  EXPECT_EQ(bpf.Run(hook(), Udp(Ends4(), direction())), LAT_ALLOW);
  bpf.SetGeneration(generation + 2);  // in the same slot of the outer maps
  EXPECT_EQ(bpf.Run(hook(), Udp(Ends4(), direction())), LAT_DENY);
  bpf.SetGeneration(generation + 1);  // in the other slot, which is of the generation before or empty
  EXPECT_EQ(bpf.Run(hook(), Udp(Ends4(), direction())), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NO_POLICY), 2u);
  bpf.SetGeneration(generation);
  EXPECT_EQ(bpf.Run(hook(), Udp(Ends4(), direction())), LAT_ALLOW);
}

TEST_P(AnyHook, DeniesIpv6PacketsWithMappedIpv4Addresses) {
  bpf.Publish(Rules("::/0\n0.0.0.0/0\ningress ::/0\ningress 0.0.0.0/0"));
  for (const bool source : {false, true}) {
    for (const bool quick : {false, true}) {
      Packet packet = Udp(Ends6(), direction());
      if (!quick) packet.extensions = {HopByHop()};
      std::string frame = packet.Frame();
      frame.replace(14 + (source ? 8 : 24), 12, std::string(10, '\0') + "\xff\xff");
      EXPECT_EQ(bpf.Run(hook(), frame), LAT_DENY);
    }
  }
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_MALFORMED), 4u);
}

TEST_P(AnyHook, CountsAPacketOfAKnownFlowOnTheFlow) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  for (bool v6 : {false, true}) {
    const Ends ends = EndsOf(v6);
    const Packet packet = Udp(ends, direction(), 100);
    for (int i = 0; i < 5; i++) EXPECT_EQ(bpf.Run(hook(), packet), LAT_ALLOW);
    const auto flow = bpf.Flow(FlowKey(ends, 17, scope()));
    ASSERT_TRUE(flow);
    const uint64_t l2 = scope() == LAT_SCOPE_IFACE ? 14 : 0;
    EXPECT_EQ(flow->packets[direction()], 5u);
    EXPECT_EQ(flow->bytes[direction()], 5 * (packet.IpBytes().size() + l2));
    EXPECT_EQ(flow->packets[!direction()], 0u);
    EXPECT_EQ(flow->gso_extra[direction()], 0u);
    EXPECT_EQ(flow->started_by, direction());
    EXPECT_EQ(flow->generation, bpf.generation());
    EXPECT_TRUE(flow->flags & LAT_FLOW_REPORTED);
  }
  EXPECT_EQ(bpf.HookStats(hook(), LAT_ALLOW).packets, 10u);
  EXPECT_EQ(bpf.Count(LAT_COUNT_FLOWS_STARTED), 2u);
  EXPECT_THAT(bpf.FlowRecords(), SizeIs(2));  // never a record per packet
}

TEST_P(AnyHook, CountsDeniedPacketsOnOneEntryAndTellsTheFirst) {
  bpf.Publish(Rules("", {.ingress_deny = true}));
  for (uint16_t port = 1; port <= 9; port++) {
    // A scan varies the port that is not judged.
    const Ends ends = Ends4(direction() == LAT_EGRESS ? EndsOptions{.local_port = port, .remote_port = 22}
                                                      : EndsOptions{.local_port = 22, .remote_port = port});
    EXPECT_EQ(bpf.Run(hook(), Tcp(ends, direction(), kSyn)), LAT_DENY);
  }
  const auto denied = bpf.Denied();
  ASSERT_THAT(denied, SizeIs(1));
  EXPECT_EQ(denied[0].first.port, 22);
  EXPECT_EQ(denied[0].first.direction, direction());
  EXPECT_EQ(denied[0].second.packets, 9u);
  EXPECT_EQ(denied[0].second.other_port, 1);
  EXPECT_EQ(denied[0].second.reported_packets, 1u);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NO_RULE), 9u);
  EXPECT_THAT(bpf.DeniedRecords(), SizeIs(1));
  EXPECT_EQ(bpf.FlowCount(), 0u);
}

TEST_P(AnyHook, ShowsTheSamePacketsToRulesOfFlatAndOfLpmTables) {
  for (bool lpm : {false, true}) {
    bpf.Publish(Rules("198.51.100.0/24:443\n[2001:db8:2::/48]:443\ningress 198.51.100.0/24:40000\n"
                      "ingress [2001:db8:2::/48]:40000\ningress deny 198.51.100.9",
                      {.ingress_deny = true}),
                {.force_lpm = lpm});
    for (bool v6 : {false, true}) {
      Ends ends = EndsOf(v6);
      EXPECT_EQ(bpf.Run(hook(), Tcp(ends, direction(), kSyn)), LAT_ALLOW);
      ends.remote = Ip(v6 ? "2001:db8:3::7" : "198.51.101.7");
      EXPECT_EQ(bpf.Run(hook(), Tcp(ends, direction(), kSyn)), LAT_DENY);
      if (v6) continue;
      ends.remote = Ip("198.51.100.9");
      EXPECT_EQ(bpf.Run(hook(), Tcp(ends, direction(), kSyn)), direction() == LAT_EGRESS ? LAT_ALLOW : LAT_DENY);
    }
  }
}

class BothDirections : public HookTest {};
LATTICE_OVER_BOTH_SCOPES(BothDirections);

TEST_P(BothDirections, AdmitsRepliesOfAnAllowedFlowThroughAClosedIngress) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  for (bool v6 : {false, true}) {
    const Ends ends = EndsOf(v6);
    EXPECT_EQ(bpf.Run(ingress(), Udp(ends, LAT_INGRESS)), LAT_DENY) << "before anything was asked";
    EXPECT_EQ(bpf.Run(egress(), Udp(ends, LAT_EGRESS)), LAT_ALLOW);
    EXPECT_EQ(bpf.Run(ingress(), Udp(ends, LAT_INGRESS)), LAT_ALLOW);
    Ends other = ends;
    other.local_port++;
    EXPECT_EQ(bpf.Run(ingress(), Udp(other, LAT_INGRESS)), LAT_DENY) << "another flow's ports";
    const auto flow = bpf.Flow(FlowKey(ends, 17, scope()));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->packets[LAT_EGRESS], 1u);
    EXPECT_EQ(flow->packets[LAT_INGRESS], 1u);
    EXPECT_EQ(flow->started_by, LAT_EGRESS);
  }
}

TEST_P(BothDirections, LetsRepliesOutToAConnectionOpenedFromOutside) {
  bpf.Publish(Rules(""));
  for (bool v6 : {false, true}) {
    const Ends ends = EndsOf(v6, {.local_port = 80, .remote_port = 50000});
    EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn | kAck)), LAT_DENY);
    EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_ALLOW);
    EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn | kAck)), LAT_ALLOW);
    EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kAck)), LAT_ALLOW);
    EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kAck | kPsh, 100)), LAT_ALLOW);
    const auto flow = bpf.Flow(FlowKey(ends, 6, scope()));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->started_by, LAT_INGRESS);
    EXPECT_EQ(flow->reason, LAT_REASON_DEFAULT_ALLOW);
    EXPECT_EQ(flow->tcp_flags[LAT_INGRESS], uint32_t{kSyn | kAck});
    EXPECT_EQ(flow->tcp_flags[LAT_EGRESS], uint32_t{kSyn | kAck | kPsh});
  }
}

TEST_P(BothDirections, LetsUdpRepliesOutToWhoAskedFromOutside) {
  bpf.Publish(Rules(""));
  const Ends ends = Ends4({.local_port = 53, .remote_port = 50000});
  EXPECT_EQ(bpf.Run(egress(), Udp(ends, LAT_EGRESS)), LAT_DENY);
  EXPECT_EQ(bpf.Run(ingress(), Udp(ends, LAT_INGRESS)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Udp(ends, LAT_EGRESS)), LAT_ALLOW);
}

class FirstFlags : public BpfTest, public ::testing::WithParamInterface<uint8_t> {};

TEST_P(FirstFlags, FromOutsideGiveNoRightToAnswerUnlessTheyOpenAConnection) {
  bpf.Publish(Rules(""));
  const Ends ends = Ends4({.local_port = 80, .remote_port = 50000});
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_INGRESS, Tcp(ends, LAT_INGRESS, GetParam())), LAT_ALLOW) << "ingress is open";
  const lat_verdict want = GetParam() == kSyn ? LAT_ALLOW : LAT_DENY;
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, Tcp(ends, LAT_EGRESS, kAck)), want);
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, Tcp(ends, LAT_EGRESS, kAck)), want) << "asked again";
}

INSTANTIATE_TEST_SUITE_P(Tcp, FirstFlags,
                         ::testing::Values(0, kSyn, kAck, kSyn | kAck, kRst, kFin, kFin | kAck, kPsh | kAck,
                                           kSyn | kRst, kSyn | kFin));

TEST_P(BothDirections, GivesTheRightToAnswerWhenAMidStreamFlowIsOpenedProperly) {
  bpf.Publish(Rules(""));
  const Ends ends = Ends4({.local_port = 80, .remote_port = 50000});
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kAck)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kAck)), LAT_DENY);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn | kAck)), LAT_ALLOW);
}

TEST_P(BothDirections, JudgesAMidStreamConnectionOfThisNodeByPolicy) {
  bpf.Publish(Rules("0.0.0.0/0:443"));
  EXPECT_EQ(bpf.Run(egress(), Tcp(Ends4(), LAT_EGRESS, kAck)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(Ends4(), LAT_INGRESS, kAck)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(Ends4({.remote_port = 22}), LAT_EGRESS, kAck)), LAT_DENY);
}

TEST_P(BothDirections, JudgesIngressBySourceAndLocalPort) {
  bpf.Publish(Rules("ingress 198.51.100.0/24:80/tcp", {.ingress_deny = true}));
  Ends ends = Ends4({.local_port = 80, .remote_port = 50000});
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_ALLOW);
  EXPECT_EQ(bpf.RuleHits(BpfRun::kIngressSlots), 1u);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(Ends4({.local_port = 81, .remote_port = 80}), LAT_INGRESS, kSyn)), LAT_DENY);
  ends.remote = Ip("203.0.113.9");
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_DENY);
}

TEST_P(BothDirections, KeepTheScopesApart) {
  bpf.Publish(Rules("0.0.0.0/0:443", {.ingress_deny = true}));
  EXPECT_EQ(bpf.Run(egress(), Udp(Ends4(), LAT_EGRESS)), LAT_ALLOW);
  const lat_hook elsewhere = static_cast<lat_hook>(ingress() ^ 2);
  EXPECT_EQ(bpf.Run(elsewhere, Udp(Ends4(), LAT_INGRESS)), LAT_DENY);
}

TEST_P(BothDirections, AuditModePassesAndRecordsWhatWouldBeDenied) {
  bpf.SetMode(LAT_MODE_AUDIT);
  bpf.Publish(Rules("0.0.0.0/0:443\ndeny 198.51.100.7:25"));
  const Ends web = Ends4(), mail = Ends4({.remote_port = 25}), dns = Ends4({.remote_port = 53});
  EXPECT_EQ(bpf.Run(egress(), Tcp(web, LAT_EGRESS, kSyn)), LAT_ALLOW);
  EXPECT_EQ(bpf.Run(egress(), Tcp(mail, LAT_EGRESS, kSyn)), LAT_AUDIT);
  EXPECT_EQ(bpf.Run(egress(), Udp(dns, LAT_EGRESS)), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_DENY_RULE), 1u);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_NO_RULE), 1u);
  EXPECT_EQ(bpf.RuleHits(1), 1u);
  for (const lat_record& record : bpf.DeniedRecords()) EXPECT_EQ(record.verdict, LAT_AUDIT);
  for (const auto& [key, entry] : bpf.Denied()) EXPECT_EQ(entry.verdict, LAT_AUDIT);
  // The answer, which enforcement would never have let come about, is told as one and gives no right.
  EXPECT_EQ(bpf.Run(ingress(), Udp(dns, LAT_INGRESS)), LAT_AUDIT);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(mail, LAT_INGRESS, kSyn | kAck)), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(ingress(), LAT_REASON_REPLY), 2u);
  EXPECT_EQ(bpf.Run(egress(), Udp(dns, LAT_EGRESS)), LAT_AUDIT);
  EXPECT_EQ(bpf.Run(egress(), Tcp(mail, LAT_EGRESS, kAck)), LAT_AUDIT);
  EXPECT_EQ(bpf.FlowCount(), 1u) << "of what the policy allows";
  bpf.SetMode(LAT_MODE_ENFORCE);
  EXPECT_EQ(bpf.Run(egress(), Udp(dns, LAT_EGRESS)), LAT_DENY) << "the cache must not know the mode";
  EXPECT_EQ(bpf.Run(egress(), Tcp(web, LAT_EGRESS, kAck)), LAT_ALLOW);
}

TEST_P(BothDirections, AuditModeRemembersWhomItShouldHaveDeniedForAsLongAsAFlow) {
  bpf.SetMode(LAT_MODE_AUDIT);
  bpf.Publish(Rules(""));
  const Ends dns = Ends4({.remote_port = 53});
  for (int i = 0; i < 3; i++) {
    EXPECT_EQ(bpf.Run(egress(), Udp(dns, LAT_EGRESS)), LAT_AUDIT) << "round " << i;
    EXPECT_EQ(bpf.Run(ingress(), Udp(dns, LAT_INGRESS)), LAT_AUDIT);
    bpf.AgeAudited(TestConfig().idle_jiffies - 1000);
  }
  bpf.AgeAudited(2000);
  EXPECT_EQ(bpf.Run(ingress(), Udp(dns, LAT_INGRESS)), LAT_ALLOW) << "a question from outside, long after";
  EXPECT_EQ(bpf.Run(egress(), Udp(dns, LAT_EGRESS)), LAT_ALLOW) << "may be answered";
}

TEST_P(BothDirections, AuditModeJudgesAConnectionFromWhomItShouldHaveDenied) {
  bpf.SetMode(LAT_MODE_AUDIT);
  bpf.Publish(Rules("", {.ingress_deny = true}));
  const Ends ends = Ends4();
  EXPECT_EQ(bpf.Run(egress(), Tcp(ends, LAT_EGRESS, kSyn)), LAT_AUDIT);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn | kAck)), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(ingress(), LAT_REASON_REPLY), 1u);
  EXPECT_EQ(bpf.Run(ingress(), Tcp(ends, LAT_INGRESS, kSyn)), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(ingress(), LAT_REASON_NO_RULE), 1u) << "a SYN is no answer";
}

TEST_P(BothDirections, AuditModeKeepsNoEntryForWhatItShouldHaveDenied) {
  bpf.SetMode(LAT_MODE_AUDIT);
  bpf.Publish(Rules(""));
  for (uint16_t port = 1; port <= 100; port++) {
    EXPECT_EQ(bpf.Run(egress(), Udp(Ends4({.remote_port = port}), LAT_EGRESS)), LAT_AUDIT);
    EXPECT_EQ(bpf.Run(egress(), Tcp(Ends6({.remote_port = port}), LAT_EGRESS, kSyn)), LAT_AUDIT);
  }
  EXPECT_EQ(bpf.FlowCount(), 0u) << "or a scan would fill the table of flows";
}

TEST_P(BothDirections, AuditModePassesEvenWhatCannotBeParsed) {
  bpf.SetMode(LAT_MODE_AUDIT);
  Packet packet = Udp(Ends4(), LAT_EGRESS);
  packet.total_length = 4000;
  EXPECT_EQ(bpf.Run(egress(), packet), LAT_AUDIT);
  EXPECT_EQ(bpf.ReasonCount(egress(), LAT_REASON_MALFORMED), 1u);
}

// Test runs happen on the loopback device.
class Loopback : public HookTest {
 protected:
  static BpfRunOptions Options() {
    BpfRunOptions options;
    options.config.loopback_allow = 1;
    return options;
  }
  Loopback() : HookTest(Options()) {}
};
LATTICE_OVER_EVERY_HOOK(Loopback);

TEST_P(Loopback, IsAllowedInACgroupWhenConfigured) {
  bpf.Publish(Rules("", {.ingress_deny = true}));
  const bool cgroup = scope() == LAT_SCOPE_CGROUP;
  EXPECT_EQ(bpf.Run(hook(), Udp(Ends4(), direction())), cgroup ? LAT_ALLOW : LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_LOOPBACK), cgroup ? 1u : 0u);
  EXPECT_EQ(bpf.FlowCount(), 0u);
}

}  // namespace
}  // namespace lattice::testing
