// Echo flows, errors that go with the flow they quote, neighbour discovery.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

// GetParam(): egress hook of the scope, and whether IPv6.
class Icmp : public BpfTest, public ::testing::WithParamInterface<std::tuple<lat_hook, bool>> {
 protected:
  lat_hook egress() const { return std::get<0>(GetParam()); }
  lat_hook ingress() const { return Opposite(egress()); }
  bool v6() const { return std::get<1>(GetParam()); }
  Ends ends(EndsOptions options = {}) const { return EndsOf(v6(), options); }
  IpAddress router() const { return Ip(v6() ? kRouter6 : kRouter4); }
  lat_verdict Out(const Packet& packet) { return bpf.Run(egress(), packet); }
  lat_verdict In(const Packet& packet) { return bpf.Run(ingress(), packet); }
};

std::string IcmpName(const ::testing::TestParamInfo<std::tuple<lat_hook, bool>>& info) {
  return std::string(std::get<0>(info.param) == LAT_HOOK_TC_EGRESS ? "Tc" : "Cgroup") +
         (std::get<1>(info.param) ? "Ipv6" : "Ipv4");
}

INSTANTIATE_TEST_SUITE_P(Scopes, Icmp,
                         ::testing::Combine(::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_CGROUP_EGRESS),
                                            ::testing::Bool()),
                         IcmpName);

TEST_P(Icmp, AdmitsTheReplyToAPing) {
  bpf.Publish(Rules("0.0.0.0/0:icmp\n[::/0]:icmp", {.ingress_deny = true}));
  EXPECT_EQ(In(EchoReply(ends(), LAT_INGRESS, 7)), LAT_DENY);
  EXPECT_EQ(Out(EchoRequest(ends(), LAT_EGRESS, 7)), LAT_ALLOW);
  EXPECT_EQ(In(EchoReply(ends(), LAT_INGRESS, 7)), LAT_ALLOW);
  EXPECT_EQ(In(EchoReply(ends(), LAT_INGRESS, 8)), LAT_DENY) << "another ping's";
  EXPECT_EQ(In(EchoRequest(ends(), LAT_INGRESS, 7)), LAT_DENY) << "a request is no reply";
  const auto flow = bpf.Flow(FlowKey(ends({.local_port = 7, .remote_port = static_cast<uint16_t>(v6() ? 128 : 8)}),
                                     v6() ? 58 : 1, ScopeOf(egress())));
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->packets[LAT_EGRESS], 1u);
  EXPECT_EQ(flow->packets[LAT_INGRESS], 1u);
}

TEST_P(Icmp, AnswersAPingFromOutsideButLetsNoRequestOut) {
  bpf.Publish(Rules(""));
  EXPECT_EQ(Out(EchoReply(ends(), LAT_EGRESS, 7)), LAT_DENY);
  EXPECT_EQ(In(EchoRequest(ends(), LAT_INGRESS, 7)), LAT_ALLOW);
  EXPECT_EQ(Out(EchoReply(ends(), LAT_EGRESS, 7)), LAT_ALLOW);
  EXPECT_EQ(Out(EchoRequest(ends(), LAT_EGRESS, 7)), LAT_DENY);
}

TEST_P(Icmp, AnUnaskedReplyFromOutsideLetsNoRequestOut) {
  bpf.Publish(Rules(""));
  EXPECT_EQ(In(EchoReply(ends(), LAT_INGRESS, 7)), LAT_ALLOW) << "ingress is open";
  EXPECT_EQ(Out(EchoRequest(ends(), LAT_EGRESS, 7)), LAT_DENY);
}

TEST_P(Icmp, OtherMessagesGiveNoRightToAnswer) {
  bpf.Publish(Rules(""));
  const uint8_t type = v6() ? 139 : 13;
  EXPECT_EQ(In(testing::Icmp(ends(), LAT_INGRESS, type)), LAT_ALLOW);
  EXPECT_EQ(Out(testing::Icmp(ends(), LAT_EGRESS, type)), LAT_DENY);
}

TEST_P(Icmp, ErrorsAboutAnAllowedFlowComeIn) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  for (const Packet& packet : {Tcp(ends(), LAT_EGRESS, kSyn), Udp(ends(), LAT_EGRESS)}) {
    const Packet error = Unreachable(router(), packet);
    EXPECT_EQ(In(error), LAT_DENY) << "nothing was sent yet";
    EXPECT_EQ(Out(packet), LAT_ALLOW);
    EXPECT_EQ(In(error), LAT_ALLOW);
    const auto flow = bpf.Flow(FlowKey(ends(), packet.protocol, ScopeOf(egress())));
    ASSERT_TRUE(flow);
    EXPECT_EQ(flow->packets[LAT_INGRESS], 1u) << "counted on the flow it is about";
    EXPECT_EQ(flow->bytes[LAT_INGRESS], error.IpBytes().size() + (ScopeOf(egress()) == LAT_SCOPE_IFACE ? 14 : 0));
  }
  EXPECT_EQ(bpf.FlowCount(), 2u);
}

TEST_P(Icmp, ErrorsAboutAConnectionFromOutsideGoOut) {
  bpf.Publish(Rules(""));
  const Ends server = ends({.local_port = 53, .remote_port = 50000});
  const Packet question = Udp(server, LAT_INGRESS);
  const Packet error = Unreachable(server.local, question);
  EXPECT_EQ(Out(error), LAT_DENY);
  EXPECT_EQ(In(question), LAT_ALLOW);
  EXPECT_EQ(Out(error), LAT_ALLOW);
  EXPECT_EQ(bpf.Flow(FlowKey(server, 17, ScopeOf(egress())))->packets[LAT_EGRESS], 1u);
}

TEST_P(Icmp, ErrorsAboutAPingComeIn) {
  bpf.Publish(Rules("0.0.0.0/0:icmp\n[::/0]:icmp", {.ingress_deny = true}));
  const Packet ping = EchoRequest(ends(), LAT_EGRESS, 7);
  EXPECT_EQ(Out(ping), LAT_ALLOW);
  EXPECT_EQ(In(Unreachable(router(), ping)), LAT_ALLOW);
}

TEST_P(Icmp, ErrorsThatQuoteNoFlowAreJudgedAsMessages) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  EXPECT_EQ(Out(Udp(ends(), LAT_EGRESS)), LAT_ALLOW);
  const Packet other_port = Udp(ends({.local_port = 40001}), LAT_EGRESS);
  EXPECT_EQ(In(Unreachable(router(), other_port)), LAT_DENY);
  Packet not_to_us = Unreachable(router(), Udp(ends(), LAT_EGRESS));
  not_to_us.destination = Ip(v6() ? "2001:db8:1::2" : "192.0.2.2");
  EXPECT_EQ(In(not_to_us), LAT_DENY);
  EXPECT_EQ(In(Unreachable(router(), Udp(ends(), LAT_EGRESS), v6() ? 47 : 27)), LAT_DENY) << "ports cut off";
  const Packet nested = Unreachable(router(), Udp(ends(), LAT_EGRESS));
  EXPECT_EQ(In(Unreachable(router(), nested, 200)), LAT_DENY) << "an error about an error";
  EXPECT_EQ(bpf.ReasonCount(ingress(), LAT_REASON_NO_RULE), 4u);
}

TEST_P(Icmp, ErrorsQuoteThroughOptionsAndExtensionHeaders) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  Packet packet = Udp(ends(), LAT_EGRESS);
  if (v6()) {
    packet.extensions = {HopByHop(), DestinationOptions()};
  } else {
    packet.options = std::string(8, '\1');
  }
  EXPECT_EQ(Out(packet), LAT_ALLOW);
  EXPECT_EQ(In(Unreachable(router(), packet, 80)), LAT_ALLOW);
}

TEST_P(Icmp, ErrorsAboutARevokedFlowAreDenied) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  const Packet packet = Udp(ends(), LAT_EGRESS);
  EXPECT_EQ(Out(packet), LAT_ALLOW);
  bpf.Publish(Rules("", {.ingress_deny = true}));
  EXPECT_EQ(In(Unreachable(router(), packet)), LAT_DENY);
}

TEST_P(Icmp, ErrorsPassAfterAPolicyChangeThatKeepsTheFlow) {
  bpf.Publish(Rules("0.0.0.0/0:443\n[::/0]:443", {.ingress_deny = true}));
  const Packet packet = Udp(ends(), LAT_EGRESS);
  EXPECT_EQ(Out(packet), LAT_ALLOW);
  bpf.Publish(Rules("0.0.0.0/0:400-500\n[::/0]:400-500", {.ingress_deny = true}));
  EXPECT_EQ(In(Unreachable(router(), packet)), LAT_ALLOW) << "the flow need not speak first";
}

class NeighbourDiscovery : public HookTest {};
INSTANTIATE_TEST_SUITE_P(Hooks, NeighbourDiscovery, ::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS),
                         HookParamName);

TEST_P(NeighbourDiscovery, PassesOnlyIfNoRouterForwardedIt) {
  bpf.Publish(Rules("", {.ingress_deny = true}));
  Ends ends = Ends6();
  ends.remote = Ip("fe80::7");
  for (uint8_t type = 133; type <= 136; type++) {
    Packet packet = testing::Icmp(ends, direction(), type, 0, 16);
    packet.hop_limit = 255;
    EXPECT_EQ(bpf.Run(hook(), packet), LAT_ALLOW);
    packet.hop_limit = 254;
    EXPECT_EQ(bpf.Run(hook(), packet), LAT_DENY);
    packet.hop_limit = 255;
    packet.extensions = {FragmentHeader(0, false, 1)};
    EXPECT_EQ(bpf.Run(hook(), packet), LAT_DENY) << "RFC 6980";
  }
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NEIGHBOUR), 4u);
  Packet redirect = testing::Icmp(Ends6(), direction(), 137, 0, 32);
  redirect.hop_limit = 255;
  EXPECT_EQ(bpf.Run(hook(), redirect), LAT_DENY);
}

// A router would forward it with a hop limit of 254: a way out for whatever it carries.
TEST_F(BpfTest, NeighbourDiscoveryLeavesForAddressesOfTheLinkOnly) {
  struct Case {
    const char* name;
    const char* remote;
    uint8_t type;
    size_t data_bytes;
    lat_verdict want;
  };
  bpf.Publish(Rules(""));
  for (const Case& c : {
           Case{"SolicitationToAll", "ff02::1:ff00:7", 135, 24, LAT_ALLOW},
           Case{"SolicitationToLinkLocal", "fe80::7", 135, 200, LAT_ALLOW},
           Case{"SolicitationToGlobal", "2001:db8:2::7", 135, 16, LAT_DENY},
           Case{"RouterSolicitationToGlobal", "2001:db8:2::7", 133, 0, LAT_DENY},
           Case{"SolicitationToWiderMulticast", "ff05::2", 135, 16, LAT_DENY},
           Case{"AdvertisementToGlobal", "2001:db8:2::7", 136, 24, LAT_ALLOW},
           Case{"AdvertisementWithMoreToGlobal", "2001:db8:2::7", 136, 25, LAT_DENY},
       }) {
    Ends ends = Ends6();
    ends.remote = Ip(c.remote);
    Packet packet = testing::Icmp(ends, LAT_EGRESS, c.type, 0, c.data_bytes);
    packet.hop_limit = 255;
    EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, packet), c.want) << c.name;
  }
}

TEST_F(BpfTest, NeighbourDiscoveryOfACgroupIsJudgedByPolicy) {
  bpf.Publish(Rules("", {.ingress_deny = true}));
  Packet packet = testing::Icmp(Ends6(), LAT_EGRESS, 135, 0, 16);
  packet.hop_limit = 255;
  EXPECT_EQ(bpf.Run(LAT_HOOK_CGROUP_EGRESS, packet), LAT_DENY);
}

}  // namespace
}  // namespace lattice::testing
