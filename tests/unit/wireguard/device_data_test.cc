// Packets through a live session: sealed in batches, opened in place, checked on both sides.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/network.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Two nodes with a session that both have used.
class DeviceDataTest : public ::testing::Test {
 protected:
  DeviceDataTest() : network_(1), a_(network_.Add(1)), b_(network_.Add(2)) {
    network_.Connect(a_, b_);
    a_.SendPacket(Packet4(1, 2, "first"));
    network_.Run(absl::Seconds(1));
    b_.SendPacket(Packet4(2, 1, "answer"));
    network_.Run(absl::Seconds(1));
    EXPECT_EQ(b_.delivered.size(), 1u);
    EXPECT_EQ(a_.delivered.size(), 1u);
    a_.delivered.clear();
    b_.delivered.clear();
    network_.sent.clear();
  }
  // What `a` would send, not sent.
  std::string Sealed(const std::string& packet) {
    SendBatch batch;
    EXPECT_EQ(a_.device().Seal(AsBytes(packet), batch, network_.now_ns()), SealResult::kSealed);
    return std::string(batch.bytes().begin(), batch.bytes().end());
  }

  Network network_;
  Node& a_;
  Node& b_;
};

TEST_F(DeviceDataTest, IsPaddedTo16WithinTheMtuAndTrimmedAtTheOtherEnd) {
  for (const size_t bytes : {20u, 21u, 31u, 32u, 33u, 1407u, 1408u, 1409u, 1419u, 1420u, 1421u, 2000u}) {
    const std::string packet = Packet4(1, 2, std::string(bytes - 20, 'x'));
    const std::string sealed = Sealed(packet);
    const size_t padded = bytes > 1420 ? bytes : std::min<size_t>((bytes + 15) / 16 * 16, 1420);
    EXPECT_EQ(sealed.size(), padded + 32) << bytes;
    EXPECT_EQ(b_.Take(a_.at, sealed), ReceiveResult::kDelivered);
    EXPECT_EQ(b_.delivered.back(), packet);
  }
}

TEST_F(DeviceDataTest, ABurstIsOneBufferOfEqualSegments) {
  SendBatch batch;
  std::vector<std::string> packets;
  for (int i = 0; i < 44; ++i) {
    packets.push_back(Packet4(1, 2, std::string(1400 - (i == 43 ? 900 : 0), static_cast<char>('a' + i % 26))));
    ASSERT_EQ(a_.device().Seal(AsBytes(packets.back()), batch, network_.now_ns()), SealResult::kSealed);
  }
  EXPECT_EQ(a_.device().Seal(AsBytes(packets[0]), batch, network_.now_ns()), SealResult::kBatchFull);
  EXPECT_EQ(batch.segments(), 44u);
  EXPECT_EQ(batch.segment_bytes(), 1452u);
  // As UDP_GRO hands it over.
  std::string received(batch.bytes().begin(), batch.bytes().end());
  b_.device().Receive(a_.at, {reinterpret_cast<uint8_t*>(received.data()), received.size()}, batch.segment_bytes(),
                      network_.now_ns());
  EXPECT_EQ(b_.delivered, packets);
}

TEST_F(DeviceDataTest, AFullBatchCostsNoCounterAndNoCount) {
  SendBatch batch(1);
  const std::string packet = Packet4(1, 2, "x");
  EXPECT_EQ(a_.device().Seal(AsBytes(packet), batch, network_.now_ns()), SealResult::kSealed);
  const uint64_t sealed = a_.device().counters().of(SealResult::kSealed);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(a_.device().Seal(AsBytes(packet), batch, network_.now_ns()), SealResult::kBatchFull);
  }
  EXPECT_EQ(a_.device().counters().of(SealResult::kSealed), sealed);
  EXPECT_EQ(a_.device().counters().of(SealResult::kBatchFull), 0u);
  const uint64_t counter = MessageIn<DataHeader>(batch.bytes()).counter.get();
  batch.Clear();
  EXPECT_EQ(a_.device().Seal(AsBytes(packet), batch, network_.now_ns()), SealResult::kSealed);
  EXPECT_EQ(MessageIn<DataHeader>(batch.bytes()).counter.get(), counter + 1);
}

TEST_F(DeviceDataTest, APacketInPartsIsOnePacket) {
  const std::string packet = Packet4(1, 2, std::string(777, 'p'));
  SendBatch batch;
  const std::vector<Bytes> parts = {
      AsBytes(packet).first(40), AsBytes(packet).subspan(40, 100), {}, AsBytes(packet).subspan(140)};
  ASSERT_EQ(a_.device().Seal(parts, batch, network_.now_ns()), SealResult::kSealed);
  EXPECT_EQ(b_.Take(a_.at, std::string(batch.bytes().begin(), batch.bytes().end())), ReceiveResult::kDelivered);
  EXPECT_THAT(b_.delivered, ElementsAre(packet));
}

TEST_F(DeviceDataTest, ReplayedAndReorderedPacketsAreDeliveredOnce) {
  std::vector<std::string> sealed;
  for (int i = 0; i < 5; ++i) sealed.push_back(Sealed(Packet4(1, 2, absl::StrCat(i))));
  for (const int i : {4, 0, 3, 1, 2}) EXPECT_EQ(b_.Take(a_.at, sealed[i]), ReceiveResult::kDelivered);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(b_.Take(a_.at, sealed[i]), ReceiveResult::kReplayed);
  EXPECT_EQ(b_.delivered.size(), 5u);
}

TEST_F(DeviceDataTest, AnyChangedByteIsRefusedAndChangesNothing) {
  const std::string sealed = Sealed(Packet4(1, 2, "genuine"));
  const Endpoint elsewhere{.address = IpAddress::Parse("203.0.113.9").value(), .port = 9};
  const uint64_t rx = b_.Peer().rx_bytes;
  for (size_t at = 0; at < sealed.size(); ++at) {
    std::string forged = sealed;
    forged[at] ^= 0x40;
    const ReceiveResult result = b_.Take(elsewhere, forged);
    const ReceiveResult want = at < 4   ? ReceiveResult::kMalformed
                               : at < 8 ? ReceiveResult::kUnknownIndex
                                        : ReceiveResult::kForged;
    EXPECT_EQ(result, want) << "byte " << at;
  }
  EXPECT_THAT(b_.delivered, IsEmpty());
  EXPECT_EQ(b_.Peer().endpoint, a_.at) << "a forged packet must not move the peer";
  EXPECT_EQ(b_.Peer().rx_bytes, rx);
  EXPECT_EQ(b_.Take(a_.at, sealed), ReceiveResult::kDelivered);
}

TEST_F(DeviceDataTest, OurOwnMessageSentBackIsNotOurs) {
  const std::string sealed = Sealed(Packet4(1, 2, "mirror"));
  EXPECT_EQ(a_.Take(b_.at, sealed), ReceiveResult::kUnknownIndex);
}

struct InnerCase {
  const char* name;
  std::string packet;
  ReceiveResult want;
  size_t delivered_bytes = 0;
};

class InnerPacket : public DeviceDataTest, public ::testing::WithParamInterface<InnerCase> {};

// Sent by a peer that does not keep to the rules: sealed with the true keys.
TEST_P(InnerPacket, IsChecked) {
  // The receiver has another peer, whose addresses are not this one's to send from.
  network_.Connect(network_.Add(3), b_);
  // The sender's route is any; what it says of its own source is the receiver's to judge.
  SendBatch batch;
  ASSERT_TRUE(a_.device()
                  .SetPeer({.public_key = b_.key(),
                            .allowed_ips = {IpPrefix::Parse("0.0.0.0/0").value(), IpPrefix::Parse("::/0").value()}},
                           network_.now_ns())
                  .ok());
  ASSERT_EQ(a_.device().Seal(AsBytes(GetParam().packet), batch, network_.now_ns()), SealResult::kSealed);
  EXPECT_EQ(b_.Take(a_.at, std::string(batch.bytes().begin(), batch.bytes().end())), GetParam().want);
  if (GetParam().want == ReceiveResult::kDelivered) {
    EXPECT_THAT(b_.delivered, ElementsAre(GetParam().packet.substr(0, GetParam().delivered_bytes)));
  } else {
    EXPECT_THAT(b_.delivered, IsEmpty());
  }
}

std::string WithByte(std::string packet, size_t at, int value) {
  packet[at] = static_cast<char>(value);
  return packet;
}
std::string FromMapped(std::string packet) {
  std::fill(packet.begin() + 8, packet.begin() + 18, '\0');
  packet.replace(18, 6, "\xff\xff\x0a\0\0\1", 6);
  return packet;
}

INSTANTIATE_TEST_SUITE_P(
    Named, InnerPacket,
    ::testing::Values(InnerCase{"V4", Packet4(1, 2, "text"), ReceiveResult::kDelivered, 24},
                      InnerCase{"V6", Packet6(1, 2, "text"), ReceiveResult::kDelivered, 44},
                      InnerCase{"SourceOfAnotherPeer", Packet4(3, 2, "text"), ReceiveResult::kWrongSource},
                      InnerCase{"SourceOfNobody", Packet4(9, 2, "text"), ReceiveResult::kWrongSource},
                      InnerCase{"OurOwnAddressAsSource", Packet4(2, 2, "text"), ReceiveResult::kWrongSource},
                      InnerCase{"V6SourceOfAnotherPeer", Packet6(3, 2, "text"), ReceiveResult::kWrongSource},
                      InnerCase{"MappedV4Source", FromMapped(Packet6(1, 2, "text")), ReceiveResult::kNotIp},
                      InnerCase{"ShorterThanItsData", WithByte(Packet4(1, 2, "text"), 3, 22), ReceiveResult::kDelivered,
                                22},
                      InnerCase{"LongerThanItsData", WithByte(Packet4(1, 2, "text"), 3, 200), ReceiveResult::kNotIp},
                      InnerCase{"ShorterThanItsHeader", WithByte(Packet4(1, 2, "text"), 3, 19), ReceiveResult::kNotIp},
                      InnerCase{"V6LongerThanItsData", WithByte(Packet6(1, 2, "text"), 4, 1), ReceiveResult::kNotIp}),
    [](const auto& test) { return test.param.name; });

TEST_F(DeviceDataTest, WhatIsNoIpPacketIsNotSent) {
  SendBatch batch;
  const std::string four = Packet4(1, 2, ""), six = Packet6(1, 2, "");
  std::string mapped = six;
  std::fill(mapped.begin() + 24, mapped.begin() + 34, '\0');
  mapped.replace(34, 6, "\xff\xff\x0a\0\0\2", 6);
  for (const std::string& bad :
       {std::string(), four.substr(0, 19), six.substr(0, 39), WithByte(four, 0, 0x55), WithByte(four, 0, 0), mapped}) {
    EXPECT_EQ(a_.device().Seal(AsBytes(bad), batch, network_.now_ns()), SealResult::kNotIp);
  }
  EXPECT_EQ(a_.device().Seal(absl::Span<const Bytes>(), batch, network_.now_ns()), SealResult::kNotIp);
  EXPECT_EQ(a_.device().Seal(AsBytes(Packet4(1, 9, "")), batch, network_.now_ns()), SealResult::kNoRoute);
  EXPECT_EQ(a_.device().Seal(AsBytes(Packet4(1, 2, std::string(65'480, 'x'))), batch, network_.now_ns()),
            SealResult::kTooLong);
  EXPECT_TRUE(batch.empty());
}

TEST_F(DeviceDataTest, ThePeerIsWhereItsLastAuthenticPacketCameFrom) {
  b_.at = {.address = IpAddress::Parse("203.0.113.9").value(), .port = 9};
  b_.SendPacket(Packet4(2, 1, "moved"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(a_.Peer().endpoint, b_.at);
  a_.SendPacket(Packet4(1, 2, "found"));
  network_.Run(absl::Seconds(1));
  EXPECT_THAT(b_.delivered, ElementsAre(Packet4(1, 2, "found")));
  EXPECT_EQ(a_.device().counters().initiations_sent, 1u);
}

TEST_F(DeviceDataTest, CountsBytesOfDatagramsEitherWay) {
  EXPECT_EQ(a_.Peer().tx_bytes, b_.Peer().rx_bytes);
  EXPECT_EQ(a_.Peer().rx_bytes, b_.Peer().tx_bytes);
  // The handshake, "first", and the empty packet for "answer" has not come yet.
  EXPECT_EQ(a_.Peer().tx_bytes, 148u + 32 + 32);
  EXPECT_EQ(a_.Peer().rx_bytes, 92u + 32 + 32);
  const uint64_t before = a_.Peer().tx_bytes;
  a_.SendPacket(Packet4(1, 2, std::string(80, 'x')));
  EXPECT_EQ(a_.Peer().tx_bytes, before + 112 + 32);
}

TEST_F(DeviceDataTest, DeliverMaySealAnAnswer) {
  b_.on_deliver = [&](const std::string&) { EXPECT_EQ(b_.SendPacket(Packet4(2, 1, "pong")), SealResult::kSealed); };
  for (int i = 0; i < 10; ++i) a_.SendPacket(Packet4(1, 2, "ping"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(a_.delivered.size(), 10u);
}

}  // namespace
}  // namespace lattice::wireguard
