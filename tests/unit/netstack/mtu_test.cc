// Path MTU: RFC 1191, RFC 8201, with the check of RFC 5927; black holes (RFC 4821, RFC 8899).
#include "tests/unit/netstack/harness.h"
#include "userspace/base/checksum.h"

namespace lattice::netstack {
namespace {

// ICMP from a router about a segment of the engine with this number.
std::string TooBig(const Harness& h, uint32_t seq, uint32_t mtu, bool unreachable = false, uint8_t code = 0) {
  uint8_t quote[kIpv6Header + 8] = {};
  const size_t ip = WriteIp(quote, h.ours, h.theirs, kTcp, 1000);
  Store16(quote + ip, h.engine_port);
  Store16(quote + ip + 2, h.peer_port);
  Store32(quote + ip + 4, seq);
  const bool v4 = h.ours.is_v4();
  uint8_t icmp[kIcmpHeader + sizeof(quote)] = {};
  icmp[0] = v4 ? 3 : (unreachable ? 1 : 2);
  icmp[1] = unreachable ? code : (v4 ? 4 : 0);
  Store32(icmp + 4, mtu);
  std::copy(quote, quote + ip + 8, icmp + kIcmpHeader);
  const size_t length = kIcmpHeader + ip + 8;
  const IpAddress router = *IpAddress::Parse(v4 ? "198.51.100.1" : "2001:db8:1::1");
  Checksum checksum;
  if (!v4) checksum.AddPseudoHeader(router, h.ours, kIcmpV6, length);
  checksum.Add({icmp, length});
  Store16(icmp + 2, checksum.Finish());
  std::string packet(kIpv6Header, '\0');
  packet.resize(WriteIp(reinterpret_cast<uint8_t*>(packet.data()), router, h.ours, v4 ? kIcmp : kIcmpV6, length));
  packet.append(reinterpret_cast<const char*>(icmp), length);
  return packet;
}

void Give(Harness& h, const std::string& packet) {
  h.Packet({reinterpret_cast<const uint8_t*>(packet.data()), packet.size()});
}

std::string FamilyName(const ::testing::TestParamInfo<bool>& info) {
  return info.param ? "V6" : "V4";
}

struct MtuOf : ::testing::TestWithParam<bool> {};

TEST_P(MtuOf, TooBigMakesSegmentsSmallerAndSendsAgain) {
  Harness h({.v6 = GetParam()});
  h.Connect();
  const uint32_t start = h.peer_ack;
  h.Write(std::string(5000, 'x'));
  h.Take();
  Give(h, TooBig(h, start, 1300));
  const std::vector<Segment> again = h.Take();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0].seq, start);
  const size_t header = (GetParam() ? 40 : 20) + 20 + 12;
  EXPECT_EQ(again[0].payload.size(), 1300 - header);
  EXPECT_EQ(h.counters().pmtu_lowered, 1u);
  // Connections opened later know it.
  EXPECT_EQ(h.counters().timeouts, 0u);
}

TEST_P(MtuOf, NumberThatIsNotInFlightIsNotBelieved) {
  Harness h({.v6 = GetParam()});
  h.Connect();
  const uint32_t start = h.peer_ack;
  h.Write(std::string(5000, 'x'));
  h.Take();
  for (const uint32_t seq : {start - 1, start + 5000, start + 100000}) Give(h, TooBig(h, seq, 1300));
  EXPECT_EQ(h.counters().Of(Drop::kIcmpUnmatched), 3u);
  EXPECT_EQ(h.counters().pmtu_lowered, 0u);
  h.None();
}

TEST_P(MtuOf, LeastMtuIsTheFloor) {
  Harness h({.v6 = GetParam()});
  h.Connect();
  const uint32_t start = h.peer_ack;
  h.Write(std::string(5000, 'x'));
  h.Take();
  Give(h, TooBig(h, start, 68));
  EXPECT_EQ(h.connection->mss(), GetParam() ? 1280u - 72 : 576u - 52);
}

TEST_P(MtuOf, EntryEnds) {
  Harness h({.v6 = GetParam()}, {.pmtu_lifetime_ns = 60 * kSecond});
  h.Connect();
  const uint32_t start = h.peer_ack;
  const uint32_t mss = h.connection->mss();
  h.Write(std::string(5000, 'x'));
  h.Take();
  Give(h, TooBig(h, start, 1300));
  EXPECT_LT(h.connection->mss(), mss);
  h.Advance(10 * kMillisecond);
  h.Peer({});
  h.Advance(61 * kSecond);
  h.Write("x");
  EXPECT_EQ(h.connection->mss(), mss);
}

INSTANTIATE_TEST_SUITE_P(Families, MtuOf, ::testing::Bool(), FamilyName);

TEST(Mtu, OldRouterWithoutASizeGetsTheNextPlateau) {  // RFC 1191 5
  Harness h;
  h.Connect();
  const uint32_t start = h.peer_ack;
  h.Write(std::string(5000, 'x'));
  Give(h, TooBig(h, start, 0));
  EXPECT_EQ(h.connection->mss(), 1400u - 52);
}

TEST(Mtu, PacketsThatVanishAreTriedSmaller) {
  Harness h;
  h.Connect();
  h.Write(std::string(4 * 1368, 'x'));
  h.Take();
  size_t passed = 0;
  for (int i = 0; i < 200 && passed == 0; ++i) {
    h.Advance(100 * kMillisecond);
    for (const Segment& s : h.Take()) passed = s.payload.size() + 52 <= 1280 ? s.payload.size() : passed;
  }
  EXPECT_GT(passed, 500u);
  EXPECT_GE(h.counters().black_holes, 1u);
}

TEST(Mtu, UnreachableEndsAnOpeningConnectionOnly) {
  const struct {
    uint8_t code;
    CloseReason want;
  } cases[] = {{0, CloseReason::kUnreachable}, {3, CloseReason::kRefused}, {13, CloseReason::kProhibited}};
  for (const auto& c : cases) {
    Harness h;
    const Segment syn = h.StartConnect();
    Give(h, TooBig(h, syn.seq + 1, 0, true, c.code));
    EXPECT_EQ(h.ended, CloseReason::kNone) << "another number";
    Give(h, TooBig(h, syn.seq, 0, true, c.code));
    EXPECT_EQ(h.ended, c.want);
    Harness open;
    open.Connect();
    const uint32_t start = open.peer_ack;
    open.Write("x");
    Give(open, TooBig(open, start, 0, true, c.code));
    EXPECT_EQ(open.ended, CloseReason::kNone);
  }
}

TEST(Mtu, PeersMssIsKept) {
  Harness h({.mss = 500});
  h.Connect();
  EXPECT_EQ(h.connection->mss(), 488u);
  Harness tiny({.mss = 1});
  tiny.Connect();
  EXPECT_EQ(tiny.connection->mss(), 52u);
}

}  // namespace
}  // namespace lattice::netstack
