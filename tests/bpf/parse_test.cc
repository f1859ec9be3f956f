// What cannot be judged is denied with its own reason, and what looks unusual but is
// honest is judged like any other packet.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

struct Case {
  std::string name;
  Packet (*make)(lat_direction);
  lat_reason reason;  // LAT_REASON_NONE: parses
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

template <typename Change>
Packet With(Packet packet, Change change) {
  change(packet);
  return packet;
}

Packet Tcp4(lat_direction d) {
  return Tcp(Ends4(), d, kSyn);
}
Packet Tcp6(lat_direction d) {
  return Tcp(Ends6(), d, kSyn);
}
Packet Udp4(lat_direction d) {
  return Udp(Ends4(), d);
}
Packet Udp6(lat_direction d) {
  return Udp(Ends6(), d);
}

#define FROM(base, change) [](lat_direction d) { return With(base(d), [](Packet& p) { change; }); }

const Case kCases[] = {
    // IPv4 header. A test run wants it whole; what is shorter comes in through a TUN (attached_test.cc).
    {"VersionOfTheOtherFamily", FROM(Tcp4, p.version = 6), LAT_REASON_MALFORMED},
    {"VersionZero", FROM(Tcp4, p.version = 0), LAT_REASON_MALFORMED},
    {"HeaderShorterThanLegal", FROM(Tcp4, p.ihl = 4), LAT_REASON_MALFORMED},
    {"HeaderLongerThanThePacket", FROM(Udp4, p.ihl = 15; p.total_length = 44), LAT_REASON_MALFORMED},
    {"TotalBeyondThePacket", FROM(Tcp4, p.total_length = 41), LAT_REASON_MALFORMED},
    {"TotalBelowTheHeader", FROM(Tcp4, p.total_length = 19), LAT_REASON_MALFORMED},
    {"TotalZeroWithoutSegmentation", FROM(Tcp4, p.total_length = 0), LAT_REASON_MALFORMED},
    {"PaddingAfterTheEnd", FROM(Tcp4, p.padding.assign(6, '\0')), LAT_REASON_NONE},
    {"PaddingCannotStandInForAHeader", FROM(Tcp4, p.total_length = 39; p.padding.assign(20, '\0')),
     LAT_REASON_MALFORMED},
    // IPv4 options
    {"NoOperations", FROM(Tcp4, p.options = std::string(8, '\1')), LAT_REASON_NONE},
    {"EndOfOptions", FROM(Tcp4, p.options = std::string("\1\0\x83\0", 4)), LAT_REASON_NONE},
    {"RecordRoute", FROM(Tcp4, p.options = std::string("\7\7\4\0\0\0\0\0", 8)), LAT_REASON_NONE},
    {"RouterAlert", FROM(Udp4, p.options = std::string("\x94\4\0\0", 4)), LAT_REASON_NONE},
    {"LongestOptions", FROM(Udp4, p.options = std::string("\x44\x28\5\0", 4) + std::string(36, '\0')), LAT_REASON_NONE},
    {"LooseSourceRoute", FROM(Tcp4, p.options = std::string("\x83\7\4\xc6\x33\x64\7\0", 8)), LAT_REASON_SOURCE_ROUTE},
    {"StrictSourceRoute", FROM(Tcp4, p.options = std::string("\1\x89\7\4\xc6\x33\x64\7", 8)), LAT_REASON_SOURCE_ROUTE},
    {"SourceRouteBehindAnother", FROM(Tcp4, p.options = std::string("\x94\4\0\0\x83\7\4\xc6\x33\x64\7\0", 12)),
     LAT_REASON_SOURCE_ROUTE},
    {"SourceRouteAsDataOfAnother", FROM(Tcp4, p.options = std::string("\x44\x8\5\0\x83\x7\4\0", 8)), LAT_REASON_NONE},
    {"OptionOfLengthZero", FROM(Tcp4, p.options = std::string("\x44\0\0\0", 4)), LAT_REASON_MALFORMED},
    {"OptionOfLengthOne", FROM(Tcp4, p.options = std::string("\x44\1\0\0", 4)), LAT_REASON_MALFORMED},
    {"OptionBeyondTheHeader", FROM(Tcp4, p.options = std::string("\x44\5\0\0", 4)), LAT_REASON_MALFORMED},
    {"OptionWithoutLength", FROM(Tcp4, p.options = std::string("\1\1\1\x44", 4)), LAT_REASON_MALFORMED},
    // Upper layers
    {"TcpHeaderCut", FROM(Tcp4, p.upper.resize(19)), LAT_REASON_MALFORMED},
    {"TcpOffsetBelowTheHeader", FROM(Tcp4, p.upper[12] = 0x40), LAT_REASON_MALFORMED},
    {"TcpOffsetBeyondThePacket", FROM(Tcp4, p.upper[12] = 0x60), LAT_REASON_MALFORMED},
    {"TcpOptions", FROM(Tcp4, p.upper[12] = 0x60; p.upper.append(4, '\1')), LAT_REASON_NONE},
    {"UdpHeaderCut", FROM(Udp4, p.upper.resize(7)), LAT_REASON_MALFORMED},
    {"UdpLengthBelowTheHeader", FROM(Udp4, p.upper[5] = 7), LAT_REASON_MALFORMED},
    {"UdpLengthBeyondThePacket", FROM(Udp4, p.upper[5] = 25), LAT_REASON_MALFORMED},
    {"UdpLengthShorterThanThePacket", FROM(Udp4, p.upper[5] = 8), LAT_REASON_NONE},
    {"UdpWithoutData", FROM(Udp4, p.upper.resize(8); p.upper[5] = 8), LAT_REASON_NONE},
    {"IcmpHeaderCut",
     [](lat_direction d) { return With(EchoRequest(Ends4(), d, 1), [](Packet& p) { p.upper.resize(7); }); },
     LAT_REASON_MALFORMED},
    {"OtherProtocolWithoutABody", [](lat_direction d) { return Raw(Ends4(), d, 47, ""); }, LAT_REASON_NONE},
    // IPv6
    {"Ipv6VersionOfTheOtherFamily", FROM(Tcp6, p.version = 4), LAT_REASON_MALFORMED},
    {"Ipv6PayloadBeyondThePacket", FROM(Tcp6, p.total_length = 21), LAT_REASON_MALFORMED},
    {"Ipv6PayloadZero", FROM(Tcp6, p.total_length = 0), LAT_REASON_MALFORMED},
    {"Ipv6PaddingAfterTheEnd", FROM(Udp6, p.padding.assign(6, '\0')), LAT_REASON_NONE},
    {"Ipv6TcpHeaderCut", FROM(Tcp6, p.upper.resize(19)), LAT_REASON_MALFORMED},
    {"Ipv6UdpLengthBeyondThePacket", FROM(Udp6, p.upper[5] = 25), LAT_REASON_MALFORMED},
    {"NoNextHeader", [](lat_direction d) { return Raw(Ends6(), d, 59, ""); }, LAT_REASON_NONE},
    {"HopByHopFirst", FROM(Tcp6, p.extensions = {HopByHop()}), LAT_REASON_NONE},
    {"HopByHopSecond", FROM(Tcp6, (p.extensions = {DestinationOptions(), HopByHop()})), LAT_REASON_EXTENSION_HEADER},
    {"DestinationOptions", FROM(Udp6, p.extensions = {DestinationOptions(3)}), LAT_REASON_NONE},
    {"AuthenticationHeader", FROM(Tcp6, p.extensions = {Authentication()}), LAT_REASON_NONE},
    {"RoutingHeaderDone", FROM(Tcp6, p.extensions = {Routing(0)}), LAT_REASON_NONE},
    {"RoutingHeaderUnderWay", FROM(Tcp6, p.extensions = {Routing(1)}), LAT_REASON_SOURCE_ROUTE},
    {"EightExtensionHeaders", FROM(Udp6, p.extensions.assign(8, DestinationOptions())), LAT_REASON_NONE},
    {"NineExtensionHeaders", FROM(Udp6, p.extensions.assign(9, DestinationOptions())), LAT_REASON_EXTENSION_HEADER},
    {"MobilityHeader", FROM(Udp6, (p.extensions = {{135, std::string(7, '\0')}})), LAT_REASON_EXTENSION_HEADER},
    {"ExperimentalHeader", FROM(Udp6, (p.extensions = {{253, std::string(7, '\0')}})), LAT_REASON_EXTENSION_HEADER},
    {"ExtensionBeyondThePacket", FROM(Udp6, p.extensions = {DestinationOptions()}; p.extensions[0].rest[0] = 20),
     LAT_REASON_MALFORMED},
    {"ExtensionCut", FROM(Udp6, p.extensions = {DestinationOptions()}; p.cut = 44; p.total_length = 4),
     LAT_REASON_MALFORMED},
    {"AtomicFragment", FROM(Tcp6, p.extensions = {FragmentHeader(0, false, 9)}), LAT_REASON_NONE},
    {"TwoFragmentHeaders", FROM(Tcp6, (p.extensions = {FragmentHeader(0, false, 9), FragmentHeader(0, false, 9)})),
     LAT_REASON_EXTENSION_HEADER},
};

class Parse : public BpfTest, public ::testing::WithParamInterface<std::tuple<lat_hook, Case>> {};

TEST_P(Parse, DeniesWithTheReason) {
  const auto& [hook, c] = GetParam();
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  const Packet packet = c.make(DirectionOf(hook));
  ASSERT_EQ(bpf.Run(hook, packet), c.reason == LAT_REASON_NONE ? LAT_ALLOW : LAT_DENY);
  if (c.reason == LAT_REASON_NONE) {
    // The same packet again finds the flow that the first one began.
    EXPECT_EQ(bpf.Run(hook, packet), LAT_ALLOW);
    EXPECT_EQ(bpf.FlowCount(), 1u);
    EXPECT_THAT(bpf.FlowRecords(), ::testing::SizeIs(1));
    return;
  }
  EXPECT_EQ(bpf.ReasonCount(hook, c.reason), 1u);
  EXPECT_EQ(bpf.HookStats(hook, LAT_DENY).bytes, packet.IpBytes().size() + (ScopeOf(hook) == LAT_SCOPE_IFACE ? 14 : 0));
  const auto denied = bpf.Denied();
  ASSERT_THAT(denied, ::testing::SizeIs(1));
  EXPECT_EQ(denied[0].first.reason, c.reason);
  EXPECT_EQ(denied[0].second.rule, 0u);
  EXPECT_EQ(bpf.FlowCount(), 0u);
}

std::string CaseName(const ::testing::TestParamInfo<std::tuple<lat_hook, Case>>& info) {
  return std::string(HookName(std::get<0>(info.param))) + std::get<1>(info.param).name;
}

INSTANTIATE_TEST_SUITE_P(Packets, Parse,
                         ::testing::Combine(::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS,
                                                              LAT_HOOK_CGROUP_EGRESS, LAT_HOOK_CGROUP_INGRESS),
                                            ::testing::ValuesIn(kCases)),
                         CaseName);

// A flow is the same whether its packets are plain or not.
class SameFlow : public HookTest {};
LATTICE_OVER_EVERY_HOOK(SameFlow);

TEST_P(SameFlow, ForPlainAndForUnusualPackets) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  Packet with_options = Tcp4(direction());
  with_options.options = std::string(4, '\1');
  Packet with_extensions = Tcp6(direction());
  with_extensions.extensions = {DestinationOptions()};
  for (const Packet& packet : {Tcp4(direction()), with_options, Tcp6(direction()), with_extensions}) {
    EXPECT_EQ(bpf.Run(hook(), packet), LAT_ALLOW);
  }
  EXPECT_EQ(bpf.FlowCount(), 2u);
  EXPECT_EQ(bpf.Flow(FlowKey(Ends4(), 6, scope()))->packets[direction()], 2u);
  EXPECT_EQ(bpf.Flow(FlowKey(Ends6(), 6, scope()))->packets[direction()], 2u);
}

class LinkLayer : public HookTest {};
INSTANTIATE_TEST_SUITE_P(Hooks, LinkLayer, ::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS), HookParamName);

TEST_P(LinkLayer, PassesArpWhereTheDeviceHasIt) {
  bpf.Publish(Rules("", {.ingress_deny = true}));
  EXPECT_EQ(bpf.Run(hook(), ArpFrame()), LAT_ALLOW);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NEIGHBOUR), 1u);
}

TEST_P(LinkLayer, DeniesWhatIsNotIp) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  for (uint16_t type : {0x8100, 0x8863, 0x88cc, 0x0801}) {
    Packet packet = Tcp4(direction());
    packet.ether_type = type;
    EXPECT_EQ(bpf.Run(hook(), packet), LAT_DENY);
  }
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NOT_IP), 4u);
}

TEST_P(LinkLayer, DeniesAFrameWhoseTypeAndVersionDisagree) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  Packet four = Tcp4(direction()), six = Tcp6(direction());
  four.ether_type = 0x86dd;
  six.ether_type = 0x0800;
  EXPECT_EQ(bpf.Run(hook(), four), LAT_DENY);
  EXPECT_EQ(bpf.Run(hook(), six), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_MALFORMED), 2u);
}

// On wg0 the IP header comes first: there is no neighbour discovery to let through.
class NoLinkLayer : public HookTest {
 protected:
  static BpfRunOptions Options() {
    BpfRunOptions options;
    options.config.l2_bytes = 0;
    return options;
  }
  NoLinkLayer() : HookTest(Options()) {}
};
INSTANTIATE_TEST_SUITE_P(Hooks, NoLinkLayer, ::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS), HookParamName);

TEST_P(NoLinkLayer, DeniesArp) {
  bpf.Publish(Rules("0.0.0.0/0\n::/0"));
  EXPECT_EQ(bpf.Run(hook(), ArpFrame()), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NOT_IP), 1u);
}

}  // namespace
}  // namespace lattice::testing
