#include "userspace/tunnel/segmentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>

#include <cstring>

#include "tests/unit/tunnel/tcp_packets.h"
#include "userspace/base/checksum.h"

namespace lattice::tunnel {
namespace {

struct Result {
  bool good;
  std::vector<Bytes> packets;
};

Result Segments(const VnetHeader& header, Bytes packet) {
  Result result;
  result.good = ForEachSegment(header, absl::MakeSpan(packet), [&](absl::Span<uint8_t> segment) {
    result.packets.emplace_back(segment.begin(), segment.end());
  });
  return result;
}

class TsoTest : public testing::TestWithParam<bool> {};

TEST_P(TsoTest, BecomesThePacketsThatTcpWouldHaveSent) {
  TcpSegment large{.v4 = GetParam(), .flags = 0x18, .options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}};
  large.payload = Payload(0, 2500);
  const Result result = Segments(TsoHeader(large, 1000), Packet(large));
  ASSERT_TRUE(result.good);
  ASSERT_EQ(result.packets.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    TcpSegment want = large;
    want.seq += static_cast<uint32_t>(1000 * i);
    want.id = static_cast<uint16_t>(want.id + i);
    want.flags = i == 2 ? 0x18 : 0x10;  // PSH goes with the end
    want.payload = Payload(1000 * i, i == 2 ? 500 : 1000);
    EXPECT_EQ(result.packets[i], Packet(want)) << i;
  }
}

TEST_P(TsoTest, CongestionWindowReducedIsSaidOnce) {
  TcpSegment large{.v4 = GetParam(), .flags = 0x90, .payload = Payload(0, 20)};
  VnetHeader header = TsoHeader(large, 10);
  header.gso_type |= VnetHeader::kEcn;
  const Result result = Segments(header, Packet(large));
  ASSERT_EQ(result.packets.size(), 2u);
  const size_t flags = (GetParam() ? 20 : 40) + 13;
  EXPECT_EQ(result.packets[0][flags], 0x90);
  EXPECT_EQ(result.packets[1][flags], 0x10);
}

TEST_P(TsoTest, OfOneByteSegmentsIsStillRight) {
  TcpSegment large{.v4 = GetParam(), .payload = Payload(0, 100)};
  const Result result = Segments(TsoHeader(large, 1), Packet(large));
  ASSERT_EQ(result.packets.size(), 100u);
  for (const Bytes& packet : result.packets) EXPECT_TRUE(IsSound(packet));
}

INSTANTIATE_TEST_SUITE_P(Families, TsoTest, testing::Bool(),
                         [](const auto& test) { return test.param ? "IPv4" : "IPv6"; });

Bytes Udp(size_t payload_bytes) {
  const Bytes headers = {0x45, 0, 0,   0,  0,   1, 0x40, 0, 64, IPPROTO_UDP, 0, 0, 192, 0,
                         2,    1, 198, 51, 100, 2, 0,    9, 0,  10,          0, 0, 0,   0};
  Bytes packet = headers;
  const Bytes payload = Payload(0, payload_bytes);
  packet.insert(packet.end(), payload.begin(), payload.end());
  packet[2] = static_cast<uint8_t>(packet.size() >> 8);
  packet[3] = static_cast<uint8_t>(packet.size());
  packet[24] = static_cast<uint8_t>((packet.size() - 20) >> 8);
  packet[25] = static_cast<uint8_t>(packet.size() - 20);
  return packet;
}

uint16_t UdpSum(const Bytes& packet) {
  const absl::Span<const uint8_t> all(packet);
  Checksum sum;
  sum.AddPseudoHeader(all.subspan(12, 8), IPPROTO_UDP, packet.size() - 20);
  sum.Add(all.subspan(20));
  return sum.Finish();
}

TEST(UsoTest, BecomesDatagramsOfTheirOwnLength) {
  VnetHeader header{};
  header.flags = VnetHeader::kNeedsChecksum;
  header.gso_type = VnetHeader::kUdp;
  header.segment_bytes = 100;
  header.checksum_start = 20;
  header.checksum_offset = 6;
  const Result result = Segments(header, Udp(250));
  ASSERT_TRUE(result.good);
  ASSERT_EQ(result.packets.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    const Bytes& packet = result.packets[i];
    const size_t payload = i == 2 ? 50 : 100;
    ASSERT_EQ(packet.size(), 28 + payload);
    EXPECT_EQ(packet[25], 8 + payload);
    EXPECT_EQ(UdpSum(packet), 0);
    EXPECT_EQ(Bytes(packet.begin() + 28, packet.end()), Payload(100 * i, payload));
  }
}

TEST(ChecksumOffloadTest, IsCompletedAsTheHeaderSays) {
  TcpSegment segment{.payload = Payload(0, 33)};
  const Bytes whole = Packet(segment);
  Bytes packet = whole;
  const absl::Span<const uint8_t> all(packet);
  Checksum sum;
  sum.AddPseudoHeader(all.subspan(12, 8), IPPROTO_TCP, packet.size() - 20);
  const uint16_t partial = htons(sum.Folded());
  memcpy(&packet[36], &partial, 2);
  VnetHeader header = TsoHeader(segment, 0);
  header.gso_type = VnetHeader::kNone;
  const Result result = Segments(header, packet);
  ASSERT_EQ(result.packets.size(), 1u);
  EXPECT_EQ(result.packets[0], whole);
}

TEST(ChecksumOffloadTest, OfUdpIsNeverTheZeroThatMeansNone) {
  Bytes packet = Udp(2);
  // The payload that makes the sum come out as zero.
  packet[28] = packet[29] = 0;
  const uint16_t without = htons(UdpSum(packet));
  memcpy(&packet[28], &without, 2);
  ASSERT_EQ(UdpSum(packet), 0);
  const absl::Span<const uint8_t> all(packet);
  Checksum sum;
  sum.AddPseudoHeader(all.subspan(12, 8), IPPROTO_UDP, 10);
  const uint16_t partial = htons(sum.Folded());
  memcpy(&packet[26], &partial, 2);
  VnetHeader header{};
  header.flags = VnetHeader::kNeedsChecksum;
  header.checksum_start = 20;
  header.checksum_offset = 6;
  const Result result = Segments(header, packet);
  ASSERT_EQ(result.packets.size(), 1u);
  EXPECT_EQ(result.packets[0][26], 0xff);
  EXPECT_EQ(result.packets[0][27], 0xff);
}

TEST(ChecksumOffloadTest, WithoutItThePacketIsPassedOnAsItIs) {
  const Bytes packet = {1, 2, 3};
  EXPECT_THAT(Segments(VnetHeader{}, packet).packets, testing::ElementsAre(packet));
}

struct BadCase {
  std::string name;
  std::function<void(VnetHeader*, Bytes*)> spoil;
};

class BadHeaderTest : public testing::TestWithParam<BadCase> {};

TEST_P(BadHeaderTest, IsRefusedWhole) {
  TcpSegment segment{.payload = Payload(0, 300)};
  VnetHeader header = TsoHeader(segment, 100);
  Bytes packet = Packet(segment);
  GetParam().spoil(&header, &packet);
  const Result result = Segments(header, packet);
  EXPECT_FALSE(result.good);
  EXPECT_TRUE(result.packets.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadHeaderTest,
    testing::Values(BadCase{"NoSegmentSize", [](VnetHeader* header, Bytes*) { header->segment_bytes = 0; }},
                    BadCase{"UnknownKind", [](VnetHeader* header, Bytes*) { header->gso_type = 77; }},
                    BadCase{"OtherFamily", [](VnetHeader* header, Bytes*) { header->gso_type = VnetHeader::kTcp6; }},
                    BadCase{"NoIpVersion", [](VnetHeader*, Bytes* packet) { (*packet)[0] = 0x15; }},
                    BadCase{"IpHeaderTooShort", [](VnetHeader*, Bytes* packet) { (*packet)[0] = 0x44; }},
                    BadCase{"TransportInsideIp", [](VnetHeader* header, Bytes*) { header->checksum_start = 12; }},
                    BadCase{"TransportBehindTheEnd", [](VnetHeader* header, Bytes*) { header->checksum_start = 330; }},
                    BadCase{"TcpHeaderTooShort", [](VnetHeader*, Bytes* packet) { (*packet)[32] = 0x40; }},
                    BadCase{"HeadersAreAll", [](VnetHeader*, Bytes* packet) { packet->resize(40); }},
                    BadCase{"Empty", [](VnetHeader*, Bytes* packet) { packet->clear(); }},
                    BadCase{"ChecksumBehindTheEnd",
                            [](VnetHeader* header, Bytes*) {
                              header->gso_type = VnetHeader::kNone;
                              header->checksum_start = 339;
                            }}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::tunnel
