// Packets as such: named malformed ones, checksums, options; ICMP and UDP.
#include <random>

#include "tests/testing/seed.h"
#include "tests/unit/netstack/harness.h"
#include "userspace/base/checksum.h"

namespace lattice::netstack {
namespace {

using Bytes = std::vector<uint8_t>;

// A right UDP datagram from the test to port 53 of the engine.
Bytes Udp(bool v6, const std::string& payload = "question", uint16_t port = 53) {
  const IpAddress from = *IpAddress::Parse(v6 ? "2001:db8::9" : "192.0.2.9");
  const IpAddress to = *IpAddress::Parse(v6 ? "2001:db8::1" : "192.0.2.1");
  Bytes packet(2000);
  const size_t length = kUdpHeader + payload.size();
  uint8_t* udp = &packet[WriteIp(packet.data(), from, to, kUdp, length)];
  Store16(udp, 4000);
  Store16(udp + 2, port);
  Store16(udp + 4, static_cast<uint16_t>(length));
  std::copy(payload.begin(), payload.end(), udp + kUdpHeader);
  Checksum checksum;
  checksum.AddPseudoHeader(from, to, kUdp, length);
  checksum.Add({udp, length});
  Store16(udp + 6, checksum.Finish());
  packet.resize(static_cast<size_t>(udp - packet.data()) + length);
  return packet;
}

void FixIpChecksum(Bytes& p) {
  Store16(&p[10], 0);
  Store16(&p[10], static_cast<uint16_t>(~OnesSum({p.data(), size_t{p[0]} % 16 * 4})));
}

struct Case {
  const char* name;
  bool v6;
  void (*change)(Bytes& packet);
  Drop want;
};

// After the IPv6 header.
void Insert(Bytes& p, uint8_t type, Bytes header) {
  header[0] = p[6];
  p[6] = type;
  p.insert(p.begin() + 40, header.begin(), header.end());
  Store16(&p[4], static_cast<uint16_t>(p.size() - 40));
}

const Case kCases[] = {
    {"RightV4", false, [](Bytes&) {}, Drop::kNone},
    {"RightV6", true, [](Bytes&) {}, Drop::kNone},
    {"Empty", false, [](Bytes& p) { p.clear(); }, Drop::kTruncated},
    {"VersionFive", false, [](Bytes& p) { p[0] = 0x55; }, Drop::kVersion},
    {"HalfAnIpv4Header", false, [](Bytes& p) { p.resize(10); }, Drop::kTruncated},
    {"HalfAnIpv6Header", true, [](Bytes& p) { p.resize(30); }, Drop::kTruncated},
    {"HeaderLengthBelowFive", false, [](Bytes& p) { p[0] = 0x44; }, Drop::kHeaderLength},
    {"HeaderLengthPastTheEnd", false, [](Bytes& p) { p[0] = 0x4f, p.resize(30); }, Drop::kTruncated},
    {"TotalLengthPastTheEnd", false, [](Bytes& p) { Store16(&p[2], 1000), FixIpChecksum(p); }, Drop::kTruncated},
    {"TotalLengthInsideOfTheHeader", false, [](Bytes& p) { Store16(&p[2], 12), FixIpChecksum(p); }, Drop::kTruncated},
    {"PayloadLengthPastTheEnd", true, [](Bytes& p) { Store16(&p[4], 1000); }, Drop::kTruncated},
    {"PaddingBehindThePacket", false, [](Bytes& p) { p.resize(p.size() + 10); }, Drop::kNone},
    {"Ipv4ChecksumOffByOne", false, [](Bytes& p) { ++p[11]; }, Drop::kIpChecksum},
    {"FirstFragment", false, [](Bytes& p) { p[6] = 0x20, FixIpChecksum(p); }, Drop::kFragment},
    {"LaterFragment", false, [](Bytes& p) { p[6] = 0, p[7] = 5, FixIpChecksum(p); }, Drop::kFragment},
    {"OptionsOfIpv4", false,
     [](Bytes& p) {
       p.insert(p.begin() + 20, {1, 1, 1, 0});
       p[0] = 0x46;
       Store16(&p[2], static_cast<uint16_t>(p.size()));
       FixIpChecksum(p);
     },
     Drop::kNone},
    {"HopByHop", true,
     [](Bytes& p) {
       Insert(p, 0, {0, 0, 1, 4, 0, 0, 0, 0});
     },
     Drop::kNone},
    {"DestinationOptionsTwice", true,
     [](Bytes& p) {
       Insert(p, 60, {0, 0, 1, 4, 0, 0, 0, 0}), Insert(p, 60, {0, 0, 1, 4, 0, 0, 0, 0});
     },
     Drop::kNone},
    {"HopByHopSecond", true,
     [](Bytes& p) {
       Insert(p, 0, {0, 0, 1, 4, 0, 0, 0, 0}), Insert(p, 60, {0, 0, 1, 4, 0, 0, 0, 0});
     },
     Drop::kExtension},
    {"FiveExtensions", true,
     [](Bytes& p) {
       for (int i = 0; i < 5; ++i) Insert(p, 60, {0, 0, 1, 4, 0, 0, 0, 0});
     },
     Drop::kExtension},
    {"ExtensionPastTheEnd", true,
     [](Bytes& p) {
       Insert(p, 60, {0, 200, 1, 4, 0, 0, 0, 0});
     },
     Drop::kTruncated},
    {"RoutingHeader", true,
     [](Bytes& p) {
       Insert(p, 43, {0, 0, 0, 0, 0, 0, 0, 0});
     },
     Drop::kExtension},
    {"FragmentOfIpv6", true,
     [](Bytes& p) {
       Insert(p, 44, {0, 0, 0, 1, 0, 0, 0, 0});
     },
     Drop::kFragment},
    {"MappedAddressInIpv6", true, [](Bytes& p) { std::fill(&p[8], &p[18], 0), p[18] = p[19] = 0xff; }, Drop::kAddress},
    {"OtherProtocol", false, [](Bytes& p) { p[9] = 132, FixIpChecksum(p); }, Drop::kProtocol},
    {"NotForUs", false, [](Bytes& p) { p[19] = 77, FixIpChecksum(p); }, Drop::kAddress},
    {"FromMulticast", false, [](Bytes& p) { p[12] = 230, FixIpChecksum(p); }, Drop::kAddress},
    {"UdpShorterThanItsHeader", false, [](Bytes& p) { p.resize(25), Store16(&p[2], 25), FixIpChecksum(p); },
     Drop::kTruncated},
    {"UdpLengthPastTheEnd", false, [](Bytes& p) { Store16(&p[24], 900); }, Drop::kTruncated},
    {"UdpLengthBelowEight", false, [](Bytes& p) { Store16(&p[24], 7); }, Drop::kTruncated},
    {"UdpChecksumWrong", false, [](Bytes& p) { ++p[28]; }, Drop::kChecksum},
    {"UdpWithoutChecksumV4", false, [](Bytes& p) { Store16(&p[26], 0); }, Drop::kNone},
    {"UdpWithoutChecksumV6", true, [](Bytes& p) { Store16(&p[46], 0); }, Drop::kChecksum},
    {"TcpShorterThanItsHeader", false, [](Bytes& p) { p[9] = kTcp, FixIpChecksum(p); }, Drop::kTruncated},
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

class Packets : public ::testing::TestWithParam<Case> {};

TEST_P(Packets, AreTakenOrCounted) {
  const Case& c = GetParam();
  Harness h({.v6 = c.v6});
  ASSERT_TRUE(h.stack().Bind({IpAddress(), 53}).ok());
  Bytes packet = Udp(c.v6);
  c.change(packet);
  // Exactly as long as it is, so that a sanitizer sees a read beyond.
  const Bytes exact(packet.begin(), packet.end());
  h.Packet(exact);
  EXPECT_EQ(h.datagrams.size(), c.want == Drop::kNone ? 1u : 0u);
  if (c.want == Drop::kNone) {
    EXPECT_EQ(h.datagrams[0], "question");
  } else {
    EXPECT_EQ(h.counters().Of(c.want), 1u);
  }
  uint64_t dropped = 0;
  for (const uint64_t count : h.counters().dropped) dropped += count;
  EXPECT_EQ(dropped, c.want == Drop::kNone ? 0u : 1u);
}

INSTANTIATE_TEST_SUITE_P(Named, Packets, ::testing::ValuesIn(kCases), CaseName);

TEST(Checksum, AgreesWithTheTextbookOnAnyPieces) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 2000; ++round) {
    Bytes bytes(random() % 300);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(round % 3 == 0 ? 0xff : random());
    uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i) sum += i % 2 == 0 ? bytes[i] << 8 : bytes[i];
    while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
    EXPECT_EQ(OnesSum(bytes), sum);
    Checksum pieces;
    for (size_t at = 0; at < bytes.size();) {
      const size_t take = std::min<size_t>(1 + random() % 40, bytes.size() - at);
      pieces.Add({&bytes[at], take});
      at += take;
    }
    EXPECT_EQ(pieces.Finish(), static_cast<uint16_t>(~sum));
  }
}

TEST(TcpOptions, MalformedEndTheList) {
  const struct {
    const char* name;
    Bytes bytes;
    bool mss, timestamps;
  } cases[] = {
      {"both", {2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, true, true},
      {"length zero", {2, 4, 5, 180, 8, 0, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, true, false},
      {"length one", {2, 4, 5, 180, 8, 1}, true, false},
      {"past the end", {2, 4, 5, 180, 8, 10, 0, 0}, true, false},
      {"no length", {2, 4, 5, 180, 8}, true, false},
      {"end before", {0, 2, 4, 5, 180}, false, false},
      {"unknown is skipped", {253, 4, 1, 2, 2, 4, 5, 180}, true, false},
      {"wrong length of MSS", {2, 3, 5, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, false, true},
  };
  for (const auto& c : cases) {
    const TcpOptions options = ParseTcpOptions(c.bytes);
    EXPECT_EQ(options.mss.has_value(), c.mss) << c.name;
    EXPECT_EQ(options.has_timestamps, c.timestamps) << c.name;
  }
  EXPECT_EQ(ParseTcpOptions(Bytes{3, 3, 200, 0}).window_scale, 14) << "RFC 7323 2.3";
  EXPECT_EQ(ParseTcpOptions(Bytes{5, 9, 0, 0, 0, 1, 0, 0, 0}).sack_count, 0);
}

Bytes Echo(bool v6, size_t payload) {
  const IpAddress from = *IpAddress::Parse(v6 ? "2001:db8::9" : "192.0.2.9");
  const IpAddress to = *IpAddress::Parse(v6 ? "2001:db8::1" : "192.0.2.1");
  Bytes packet(2000);
  const size_t length = kIcmpHeader + payload;
  uint8_t* icmp = &packet[WriteIp(packet.data(), from, to, v6 ? kIcmpV6 : kIcmp, length)];
  icmp[0] = v6 ? 128 : 8;
  for (size_t i = 4; i < length; ++i) icmp[i] = static_cast<uint8_t>(i);
  Checksum checksum;
  if (v6) checksum.AddPseudoHeader(from, to, kIcmpV6, length);
  checksum.Add({icmp, length});
  Store16(icmp + 2, checksum.Finish());
  packet.resize(static_cast<size_t>(icmp - packet.data()) + length);
  return packet;
}

TEST(Icmp, EchoIsAnswered) {
  for (const bool v6 : {false, true}) {
    Harness h({.v6 = v6});
    const Bytes request = Echo(v6, 56);
    h.Packet(request);
    ASSERT_EQ(h.other.size(), 1u);
    IpPacket reply, asked;
    const Bytes bytes(h.other[0].begin(), h.other[0].end());
    ASSERT_EQ(ParseIp(bytes, &reply), Drop::kNone);
    ASSERT_EQ(ParseIp(request, &asked), Drop::kNone);
    EXPECT_EQ(reply.destination, h.theirs);
    EXPECT_EQ(reply.payload[0], v6 ? 129 : 0);
    EXPECT_TRUE(
        std::equal(reply.payload.begin() + 4, reply.payload.end(), asked.payload.begin() + 4, asked.payload.end()));
    Checksum checksum;
    if (v6) checksum.AddPseudoHeader(reply.source, reply.destination, kIcmpV6, reply.payload.size());
    checksum.Add(reply.payload);
    EXPECT_EQ(checksum.Finish(), 0);
    Bytes broken = request;
    ++broken.back();
    h.Packet(broken);
    EXPECT_EQ(h.other.size(), 1u);
  }
}

TEST(Icmp, ErrorsGetNoAnswerAndAreFew) {
  Harness h;
  for (int i = 0; i < 500; ++i) h.Packet(Udp(false, "x", 9));
  EXPECT_EQ(h.other.size(), 100u) << "port unreachable, a hundred in a second";
  IpPacket error;
  const Bytes bytes(h.other[0].begin(), h.other[0].end());
  ASSERT_EQ(ParseIp(bytes, &error), Drop::kNone);
  EXPECT_EQ(error.payload[0], 3);
  EXPECT_EQ(error.payload[1], 3);
  EXPECT_EQ(Load16(&error.payload[kIcmpHeader + 20 + 2]), 9) << "quotes the datagram";
}

TEST(Udp, SendsAndReceives) {
  for (const bool v6 : {false, true}) {
    Harness h({.v6 = v6});
    UdpSocket* socket = *h.stack().Bind({IpAddress(), 53});
    h.Packet(Udp(v6, "question"));
    EXPECT_EQ(h.datagrams, std::vector<std::string>{"question"});
    EXPECT_EQ(socket->Send(Bytes{'h', 'i'}, {h.theirs, 4000}), UdpResult::kOk);
    h.Poll();
    ASSERT_EQ(h.other.size(), 1u);
    IpPacket ip;
    const Bytes bytes(h.other[0].begin(), h.other[0].end());
    ASSERT_EQ(ParseIp(bytes, &ip), Drop::kNone);
    Checksum checksum;
    checksum.AddPseudoHeader(ip.source, ip.destination, kUdp, ip.payload.size());
    checksum.Add(ip.payload);
    EXPECT_EQ(checksum.Finish(), 0);
    EXPECT_EQ(Load16(&ip.payload[2]), 4000);
    EXPECT_EQ(socket->Send(Bytes(1500), {h.theirs, 4000}), UdpResult::kTooBig);
    EXPECT_EQ(socket->Send(Bytes(5), {*IpAddress::Parse(v6 ? "192.0.2.9" : "2001:db8::9"), 4000}), UdpResult::kFamily);
  }
}

TEST(Udp, ConnectedSocketHearsItsPeerOnly) {
  Harness h;
  ASSERT_TRUE(h.stack().Bind({IpAddress(), 53}, Endpoint{*IpAddress::Parse("192.0.2.77"), 4000}).ok());
  h.Packet(Udp(false));
  EXPECT_TRUE(h.datagrams.empty());
  ASSERT_TRUE(h.stack().Bind({IpAddress(), 53}, Endpoint{h.theirs, 4000}).ok());
  h.Packet(Udp(false));
  EXPECT_EQ(h.datagrams.size(), 1u);
  EXPECT_EQ(h.stack().Bind({IpAddress(), 53}, Endpoint{h.theirs, 4000}).status().code(),
            absl::StatusCode::kAlreadyExists);
}

TEST(Udp, QueueIsBoundedAndFreePortsDiffer) {
  struct Lazy : Application {
    void OnTcp(TcpConnection&, uint8_t) override {}
    void OnAccept(TcpListener&) override {}
    void OnUdp(UdpSocket&) override {}
  } lazy;
  Options options;
  options.addresses = {*IpAddress::Parse("192.0.2.1")};
  options.udp_queue_bytes = 10'000;
  Stack stack(options, lazy);
  UdpSocket* socket = *stack.Bind({IpAddress(), 53});
  for (int i = 0; i < 100; ++i) stack.Receive(Udp(false, std::string(1000, 'x')), kSecond);
  int read = 0;
  for (; socket->Front().has_value(); socket->Pop()) ++read;
  EXPECT_EQ(read, 9);
  EXPECT_EQ(stack.counters().Of(Drop::kQueueFull), 91u);
  EXPECT_NE((*stack.Bind({IpAddress(), 0}))->local().port, (*stack.Bind({IpAddress(), 0}))->local().port);
}

}  // namespace
}  // namespace lattice::netstack
