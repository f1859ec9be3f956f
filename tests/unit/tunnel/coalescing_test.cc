#include "userspace/tunnel/coalescing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>

#include "tests/testing/seed.h"
#include "tests/unit/tunnel/tcp_packets.h"
#include "userspace/tunnel/segmentation.h"

namespace lattice::tunnel {
namespace {

struct Written {
  VnetHeader header;
  Bytes packet;
};

// Writes all of `packets` in one burst.
std::vector<Written> Burst(std::vector<Bytes> packets) {
  std::vector<Written> written;
  Coalescer coalescer;
  const auto write = [&](const VnetHeader& header, absl::Span<const iovec> pieces) {
    Written one{header, {}};
    for (const iovec& piece : pieces) {
      const auto* bytes = static_cast<const uint8_t*>(piece.iov_base);
      one.packet.insert(one.packet.end(), bytes, bytes + piece.iov_len);
    }
    written.push_back(std::move(one));
  };
  for (Bytes& packet : packets) coalescer.Add(absl::MakeSpan(packet), write);
  coalescer.Flush(write);
  return written;
}

// What the kernel would make of them again.
std::vector<Bytes> Taken(const std::vector<Written>& written) {
  std::vector<Bytes> packets;
  for (Written one : written) {
    EXPECT_TRUE(ForEachSegment(one.header, absl::MakeSpan(one.packet), [&](absl::Span<uint8_t> segment) {
      packets.emplace_back(segment.begin(), segment.end());
    }));
  }
  return packets;
}

std::vector<Bytes> Stream(TcpSegment first, size_t count, size_t bytes) {
  std::vector<Bytes> packets;
  for (size_t i = 0; i < count; ++i) {
    TcpSegment segment = first;
    segment.seq += static_cast<uint32_t>(i * bytes);
    segment.id = static_cast<uint16_t>(segment.id + i);
    segment.payload = Payload(i * bytes, bytes);
    packets.push_back(Packet(segment));
  }
  return packets;
}

class CoalesceTest : public ::testing::TestWithParam<bool> {
 protected:
  TcpSegment First() const { return {.v4 = GetParam(), .options = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}}; }
};

TEST_P(CoalesceTest, AStreamIsOneWrite) {
  const std::vector<Bytes> packets = Stream(First(), 20, 1000);
  const std::vector<Written> written = Burst(packets);
  ASSERT_EQ(written.size(), 1u);
  EXPECT_EQ(written[0].header.segment_bytes, 1000);
  EXPECT_EQ(Taken(written), packets);
}

TEST_P(CoalesceTest, IsNeverLongerThanAnIpPacket) {
  const std::vector<Bytes> packets = Stream(First(), 60, 1360);
  const std::vector<Written> written = Burst(packets);
  EXPECT_EQ(written.size(), 2u);
  for (const Written& one : written) EXPECT_LE(one.packet.size(), 65535u);
  EXPECT_EQ(Taken(written), packets);
}

TEST_P(CoalesceTest, AShortSegmentIsTheLast) {
  std::vector<Bytes> packets = Stream(First(), 3, 1000);
  TcpSegment segment = First();
  segment.seq += 3000;
  segment.id = 10;
  segment.payload = Payload(3000, 10);
  packets.push_back(Packet(segment));
  segment.seq += 10;
  segment.id = 11;
  packets.push_back(Packet(segment));
  const std::vector<Written> written = Burst(packets);
  EXPECT_EQ(written.size(), 2u);
  EXPECT_EQ(Taken(written), packets);
}

TEST_P(CoalesceTest, FlowsComeMixedAndStayApart) {
  TcpSegment other = First();
  other.source_port = 50000;
  const std::vector<Bytes> a = Stream(First(), 5, 800);
  const std::vector<Bytes> b = Stream(other, 5, 900);
  std::vector<Bytes> mixed;
  for (size_t i = 0; i < 5; ++i) {
    mixed.push_back(a[i]);
    mixed.push_back(b[i]);
  }
  const std::vector<Written> written = Burst(mixed);
  EXPECT_EQ(written.size(), 2u);
  std::vector<Bytes> both = a;
  both.insert(both.end(), b.begin(), b.end());
  EXPECT_THAT(Taken(written), ::testing::UnorderedElementsAreArray(both));
}

TEST_P(CoalesceTest, ADamagedSegmentIsNotMadeGood) {
  std::vector<Bytes> packets = Stream(First(), 3, 500);
  packets[1].back() ^= 1;
  const std::vector<Bytes> taken = Taken(Burst(packets));
  EXPECT_EQ(taken, packets);
  EXPECT_FALSE(IsSound(taken[1]));
}

INSTANTIATE_TEST_SUITE_P(Families, CoalesceTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "IPv4" : "IPv6"; });

struct Break {
  std::string name;
  std::function<void(TcpSegment*)> change;  // of the second segment of a stream of two
};

class BreakTest : public ::testing::TestWithParam<Break> {};

TEST_P(BreakTest, IsTwoWritesInOrder) {
  TcpSegment first{.payload = Payload(0, 100)};
  TcpSegment second{.seq = 1100, .id = 8, .payload = Payload(100, 100)};
  GetParam().change(&second);
  const std::vector<Bytes> packets = {Packet(first), Packet(second)};
  const std::vector<Written> written = Burst(packets);
  EXPECT_EQ(written.size(), 2u);
  EXPECT_EQ(Taken(written), packets);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BreakTest,
    ::testing::Values(Break{"Hole", [](TcpSegment* segment) { segment->seq += 1; }},
                      Break{"Repeated", [](TcpSegment* segment) { segment->seq = 1000; }},
                      Break{"Acknowledgement", [](TcpSegment* segment) { segment->ack += 1; }},
                      Break{"Window", [](TcpSegment* segment) { segment->window += 1; }},
                      Break{"Options",
                            [](TcpSegment* segment) {
                              segment->options = {1, 1, 1, 1};
                            }},
                      Break{"Hops", [](TcpSegment* segment) { segment->hops = 63; }},
                      Break{"MayBeFragmented", [](TcpSegment* segment) { segment->dont_fragment = false; }},
                      Break{"Longer", [](TcpSegment* segment) { segment->payload = Payload(100, 101); }},
                      Break{"Fin", [](TcpSegment* segment) { segment->flags = 0x11; }},
                      Break{"Urgent", [](TcpSegment* segment) { segment->flags = 0x30; }},
                      Break{"Reset", [](TcpSegment* segment) { segment->flags = 0x14; }},
                      Break{"NoPayload", [](TcpSegment* segment) { segment->payload.clear(); }}),
    [](const auto& test) { return test.param.name; });

TEST(CoalescerTest, PushEndsAPacketAndIsKept) {
  TcpSegment first{.payload = Payload(0, 100)};
  TcpSegment second{.seq = 1100, .flags = 0x18, .id = 8, .payload = Payload(100, 100)};
  TcpSegment third{.seq = 1200, .id = 9, .payload = Payload(200, 100)};
  const std::vector<Bytes> packets = {Packet(first), Packet(second), Packet(third)};
  const std::vector<Written> written = Burst(packets);
  EXPECT_EQ(written.size(), 2u);
  EXPECT_EQ(Taken(written), packets);
}

TEST(CoalescerTest, WhatIsNoTcpPassesThrough) {
  const std::vector<Bytes> packets = {{}, {0x45}, Bytes(28, 0x45), Bytes(100, 0), Bytes(41, 0x60)};
  EXPECT_EQ(Taken(Burst(packets)), packets);
}

// Whatever comes: each packet once, unchanged, and those of a flow in order.
TEST(CoalescerTest, RandomBurstsComeOutAsTheyWentIn) {
  std::mt19937_64 random(lattice::testing::TestSeed());
  for (int round = 0; round < 300; ++round) {
    std::map<uint16_t, TcpSegment> flows;
    std::vector<Bytes> packets;
    std::map<uint16_t, std::vector<Bytes>> wanted;
    for (int i = 0; i < 100; ++i) {
      const uint16_t port = static_cast<uint16_t>(1 + random() % 12);
      TcpSegment& flow = flows[port];
      flow.v4 = port % 2 == 0;
      flow.source_port = port;
      flow.flags = random() % 10 == 0 ? 0x18 : 0x10;
      if (random() % 20 == 0) flow.flags = 0x11;
      if (random() % 15 == 0) flow.ack += 5;
      flow.payload = Payload(flow.seq, random() % 8 == 0 ? random() % 1300 : 1300);
      packets.push_back(Packet(flow));
      wanted[port].push_back(packets.back());
      flow.seq += static_cast<uint32_t>(flow.payload.size());
      ++flow.id;
    }
    std::map<uint16_t, std::vector<Bytes>> taken;
    for (Bytes& packet : Taken(Burst(packets))) {
      const size_t tcp = packet[0] >> 4 == 4 ? 20 : 40;
      taken[static_cast<uint16_t>(packet[tcp] << 8 | packet[tcp + 1])].push_back(std::move(packet));
    }
    ASSERT_EQ(taken, wanted) << "round " << round;
  }
}

}  // namespace
}  // namespace lattice::tunnel
