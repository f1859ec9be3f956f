// Fragments of both families: the first one is judged, the later ones go with it.
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/bpf/fixture.h"

namespace lattice::testing {
namespace {

// GetParam(): hook and whether IPv6.
class Fragments : public BpfTest, public ::testing::WithParamInterface<std::tuple<lat_hook, bool>> {
 protected:
  lat_hook hook() const { return std::get<0>(GetParam()); }
  lat_direction direction() const { return DirectionOf(hook()); }
  bool v6() const { return std::get<1>(GetParam()); }
  Ends ends(EndsOptions options = {}) const { return EndsOf(v6(), options); }
  lat_flow6_key key(uint8_t protocol = 17) const { return FlowKey(ends(), protocol, ScopeOf(hook())); }
  // A datagram of 4,008 bytes of upper layer.
  Packet datagram() const { return Udp(ends(), direction(), 4000); }
  lat_verdict Run(const Packet& packet) { return bpf.Run(hook(), packet); }
  void AllowAll() { bpf.Publish(Rules("0.0.0.0/0\n::/0")); }
  void AllowWeb() {
    bpf.Publish(
        Rules("0.0.0.0/0:443\n[::/0]:443\ningress 0.0.0.0/0:40000\ningress [::/0]:40000", {.ingress_deny = true}));
  }
};

std::string FragmentsName(const ::testing::TestParamInfo<std::tuple<lat_hook, bool>>& info) {
  return std::string(HookName(std::get<0>(info.param))) + (std::get<1>(info.param) ? "Ipv6" : "Ipv4");
}

INSTANTIATE_TEST_SUITE_P(Hooks, Fragments,
                         ::testing::Combine(::testing::Values(LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS,
                                                              LAT_HOOK_CGROUP_EGRESS, LAT_HOOK_CGROUP_INGRESS),
                                            ::testing::Bool()),
                         FragmentsName);

TEST_P(Fragments, AreAllCountedOnTheFlowOfTheFirst) {
  AllowWeb();
  uint64_t bytes = 0;
  for (size_t offset = 0; offset < 4008; offset += 1400) {
    const Packet fragment = Fragment(datagram(), 7, offset, 1400);
    EXPECT_EQ(Run(fragment), LAT_ALLOW) << offset;
    bytes += fragment.IpBytes().size() + (ScopeOf(hook()) == LAT_SCOPE_IFACE ? 14 : 0);
  }
  const auto flow = bpf.Flow(key());
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->packets[direction()], 3u);
  EXPECT_EQ(flow->bytes[direction()], bytes);
  EXPECT_EQ(bpf.FlowCount(), 1u);
  EXPECT_THAT(bpf.Denied(), ::testing::IsEmpty());
}

TEST_P(Fragments, LaterOnesAloneAreDeniedWhateverTheRules) {
  AllowAll();
  EXPECT_EQ(Run(Fragment(datagram(), 7, 1400, 1400)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_UNKNOWN), 1u);
  EXPECT_EQ(Run(Fragment(datagram(), 7, 0, 1400)), LAT_ALLOW);
  EXPECT_EQ(Run(Fragment(datagram(), 8, 1400, 1400)), LAT_DENY) << "another datagram";
  EXPECT_EQ(Run(Fragment(datagram(), 7, 1400, 1400)), LAT_ALLOW);
}

TEST_P(Fragments, LaterOnesOfADeniedFirstAreDenied) {
  AllowWeb();
  Packet whole = Udp(ends({.local_port = 1, .remote_port = 1}), direction(), 4000);
  EXPECT_EQ(Run(Fragment(whole, 7, 0, 1400)), LAT_DENY);
  EXPECT_EQ(Run(Fragment(whole, 7, 1400, 1400)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NO_RULE), 1u);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_UNKNOWN), 1u);
}

TEST_P(Fragments, DoNotPassInTheOtherDirection) {
  AllowAll();
  EXPECT_EQ(Run(Fragment(datagram(), 7, 0, 1400)), LAT_ALLOW);
  const Packet back = Fragment(Udp(ends(), DirectionOf(Opposite(hook())), 4000), 7, 1400, 1400);
  EXPECT_EQ(bpf.Run(Opposite(hook()), back), LAT_DENY);
}

TEST_P(Fragments, AreForgottenAfterTheirTime) {
  AllowAll();
  EXPECT_EQ(Run(Fragment(datagram(), 7, 0, 1400)), LAT_ALLOW);
  bpf.AgeFragments(TestConfig().fragment_jiffies + 1000);
  EXPECT_EQ(Run(Fragment(datagram(), 7, 1400, 1400)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_UNKNOWN), 1u);
}

TEST_P(Fragments, OfOneIdGoWithTheNewestFirst) {
  AllowAll();
  EXPECT_EQ(Run(Fragment(datagram(), 7, 0, 1400)), LAT_ALLOW);
  Ends other = ends({.local_port = 40001});
  EXPECT_EQ(Run(Fragment(Udp(other, direction(), 4000), 7, 0, 1400)), LAT_ALLOW);
  EXPECT_EQ(Run(Fragment(datagram(), 7, 1400, 1400)), LAT_ALLOW);
  EXPECT_EQ(bpf.Flow(FlowKey(other, 17, ScopeOf(hook())))->packets[direction()], 2u);
  EXPECT_EQ(bpf.Flow(key())->packets[direction()], 1u);
}

TEST_P(Fragments, FirstOnesWithoutTheWholeHeaderAreDenied) {
  AllowAll();
  const Packet tcp = Tcp(ends(), direction(), kSyn, 100);
  EXPECT_EQ(Run(Fragment(tcp, 7, 0, 8)), LAT_DENY);
  EXPECT_EQ(Run(Fragment(tcp, 7, 0, 16)), LAT_DENY);
  Packet long_header = tcp;
  long_header.upper[12] = static_cast<char>(0xf0);
  EXPECT_EQ(Run(Fragment(long_header, 7, 0, 24)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_TINY), 3u);
  EXPECT_EQ(Run(Fragment(tcp, 7, 0, 24)), LAT_ALLOW);
}

TEST_P(Fragments, ThatWouldOverwriteTheHeaderAreDenied) {
  AllowAll();
  const Packet tcp = Tcp(ends(), direction(), kSyn, 100);
  EXPECT_EQ(Run(Fragment(tcp, 7, 0, 24)), LAT_ALLOW);
  EXPECT_EQ(Run(Fragment(tcp, 7, 8, 24)), LAT_DENY);
  EXPECT_EQ(Run(Fragment(tcp, 7, 16, 24)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_OVERLAP), 2u);
  EXPECT_EQ(Run(Fragment(tcp, 7, 24, 24)), LAT_ALLOW);
}

TEST_P(Fragments, ThatWouldOverwriteTcpOptionsAreDenied) {
  AllowAll();
  Packet tcp = Tcp(ends(), direction(), kSyn, 100);
  tcp.upper[12] = static_cast<char>(0xa0);  // 40 bytes
  EXPECT_EQ(Run(Fragment(tcp, 7, 0, 48)), LAT_ALLOW);
  EXPECT_EQ(Run(Fragment(tcp, 7, 32, 24)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_FRAGMENT_OVERLAP), 1u);
}

TEST_P(Fragments, BeyondTheLongestDatagramAreMalformed) {
  AllowAll();
  Packet fragment = Fragment(datagram(), 7, 1400, 1400);
  if (v6()) {
    fragment.extensions = {FragmentHeader(65528, false, 7)};
  } else {
    fragment.fragment_offset = 65528;
    fragment.more_fragments = false;
  }
  EXPECT_EQ(Run(fragment), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_MALFORMED), 1u);
}

TEST_P(Fragments, AreDeniedWhenTheirFlowIsRevoked) {
  AllowAll();
  EXPECT_EQ(Run(Fragment(datagram(), 7, 0, 1400)), LAT_ALLOW);
  bpf.Publish(Rules("", {.ingress_deny = true}));
  EXPECT_EQ(Run(Fragment(datagram(), 7, 1400, 1400)), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(hook(), LAT_REASON_NO_RULE), 1u);
  EXPECT_EQ(Run(Fragment(datagram(), 7, 2800, 1400)), LAT_DENY);
}

TEST_P(Fragments, OfIcmpGoWithTheirEcho) {
  AllowAll();
  const Packet ping = Icmp(ends(), direction(), v6() ? 128 : 8, 99, 4000);
  EXPECT_EQ(Run(Fragment(ping, 7, 0, 1400)), LAT_ALLOW);
  EXPECT_EQ(Run(Fragment(ping, 7, 1400, 1400)), LAT_ALLOW);
  EXPECT_EQ(bpf.FlowCount(), 1u);
}

// RFC 7112: what lies between the fragment header and the ports belongs to the first.
TEST_F(BpfTest, Ipv6FirstFragmentCarriesItsWholeChain) {
  bpf.Publish(Rules("::/0"));
  Packet whole = Udp(Ends6(), LAT_EGRESS, 100);
  whole.extensions = {FragmentHeader(0, true, 7), DestinationOptions(4)};
  Packet cut = whole;
  cut.cut = 40 + 8 + 24;
  cut.total_length = 8 + 24;
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, cut), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(LAT_HOOK_TC_EGRESS, LAT_REASON_FRAGMENT_TINY), 1u);
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, whole), LAT_ALLOW);
  // 32 bytes of options and 8 of UDP: a later fragment may not begin before them,
  // whatever protocol it claims to be.
  Packet later = Raw(Ends6(), LAT_EGRESS, 60, std::string(64, 'x'));
  later.extensions = {FragmentHeader(32, true, 7)};
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, later), LAT_DENY);
  EXPECT_EQ(bpf.ReasonCount(LAT_HOOK_TC_EGRESS, LAT_REASON_FRAGMENT_OVERLAP), 1u);
  later.extensions = {FragmentHeader(40, true, 7)};
  EXPECT_EQ(bpf.Run(LAT_HOOK_TC_EGRESS, later), LAT_ALLOW);
}

}  // namespace
}  // namespace lattice::testing
