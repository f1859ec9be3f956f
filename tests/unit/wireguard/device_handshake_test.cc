// Handshakes: repeated, replayed, forged, lost, begun by both.
#include <algorithm>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/network.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DeviceHandshakeTest : public ::testing::Test {
 protected:
  DeviceHandshakeTest() : network_(1), a_(network_.Add(1)), b_(network_.Add(2)) {}

  // An initiation of `a` for `b` at a time of our choice, with good MACs.
  std::string InitiationAt(absl::Time time, uint32_t sender = 5) {
    const StaticKeys keys(a_.private_key);
    PrivateKey ephemeral;
    network_.random.Fill(absl::MakeSpan(ephemeral.data(), ephemeral.size()));
    InitiationMessage message;
    Initiator().Start(keys, *PeerKeys::Make(keys, b_.key(), {}), ephemeral, sender, Tai64n::From(time), &message);
    CookieJar(b_.key()).AddMacs(MutableBytesOf(message), 0);
    const Bytes bytes = BytesOf(message);
    return std::string(bytes.begin(), bytes.end());
  }
  std::vector<MessageType> SentTypes() const {
    std::vector<MessageType> types;
    for (const Datagram& datagram : network_.sent) types.push_back(datagram.type());
    return types;
  }

  Network network_;
  Node& a_;
  Node& b_;
};

TEST_F(DeviceHandshakeTest, IsOneRoundTripAndTheFirstPacketFollows) {
  network_.Connect(a_, b_);
  EXPECT_EQ(a_.SendPacket(Packet4(1, 2, "x")), SealResult::kStaged);
  const absl::Time began = network_.clock.Now();
  network_.Run(absl::Seconds(1));
  EXPECT_THAT(SentTypes(), ElementsAre(MessageType::kInitiation, MessageType::kResponse, MessageType::kData));
  EXPECT_THAT(b_.delivered, ElementsAre(Packet4(1, 2, "x")));
  EXPECT_THAT(a_.events, ElementsAre(PeerEvent::kSessionStarted));
  EXPECT_THAT(b_.events, ElementsAre(PeerEvent::kSessionStarted));
  EXPECT_EQ(a_.Peer().last_handshake, began + absl::Milliseconds(10));
  EXPECT_EQ(b_.Peer().last_handshake, began + absl::Milliseconds(15));
  EXPECT_EQ(b_.Peer().endpoint, a_.at);
}

TEST_F(DeviceHandshakeTest, TheResponderWaitsForTheInitiatorsFirstData) {
  network_.Connect(a_, b_);
  network_.passes = [](const Datagram& datagram) { return datagram.type() != MessageType::kData; };
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  EXPECT_FALSE(b_.Peer().has_session);
  EXPECT_EQ(b_.SendPacket(Packet4(2, 1, "y")), SealResult::kStaged);
  network_.passes = nullptr;
  a_.SendPacket(Packet4(1, 2, "z"));
  network_.Run(absl::Seconds(1));
  EXPECT_TRUE(b_.Peer().has_session);
  EXPECT_THAT(a_.delivered, ElementsAre(Packet4(2, 1, "y")));
}

TEST_F(DeviceHandshakeTest, WithPresharedKeysOnlyTheSameOneWorks) {
  PresharedKey key;
  key.data()[3] = 9;
  network_.Connect(a_, b_, key);
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(b_.delivered.size(), 1u);

  Node& c = network_.Add(3);
  network_.Connect(c, b_, key);
  key.data()[3] = 8;
  ASSERT_TRUE(b_.device().SetPeer({.public_key = c.key(), .preshared_key = key}, network_.now_ns()).ok());
  c.SendPacket(Packet4(3, 2, "y"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(c.Count(ReceiveResult::kForged), 1u);
  EXPECT_FALSE(c.Peer().has_session);
}

TEST_F(DeviceHandshakeTest, AReplayedInitiationIsNotAnswered) {
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(10));
  const Datagram initiation = network_.sent.front();
  network_.sent.clear();
  const Endpoint elsewhere{.address = IpAddress::Parse("203.0.113.9").value(), .port = 9};
  EXPECT_EQ(b_.Take(elsewhere, initiation.bytes), ReceiveResult::kOldInitiation);
  EXPECT_THAT(network_.sent, IsEmpty());
  EXPECT_EQ(b_.Peer().endpoint, a_.at);
  const absl::Time now = network_.clock.Now();
  EXPECT_EQ(b_.Take(a_.at, InitiationAt(now - absl::Hours(1))), ReceiveResult::kOldInitiation);
  EXPECT_EQ(b_.Take(a_.at, InitiationAt(now + absl::Hours(1))), ReceiveResult::kInitiation);
}

TEST_F(DeviceHandshakeTest, InitiationsTooCloseToEachOtherAreNotAnswered) {
  network_.Connect(a_, b_);
  const absl::Time now = network_.clock.Now();
  EXPECT_EQ(b_.Take(a_.at, InitiationAt(now)), ReceiveResult::kInitiation);
  network_.clock.Advance(absl::Milliseconds(19));
  EXPECT_EQ(b_.Take(a_.at, InitiationAt(now + absl::Seconds(1))), ReceiveResult::kFlood);
  network_.clock.Advance(absl::Milliseconds(1));
  EXPECT_EQ(b_.Take(a_.at, InitiationAt(now + absl::Seconds(1))), ReceiveResult::kInitiation);
}

TEST_F(DeviceHandshakeTest, AnyChangedByteOfAHandshakeIsRefused) {
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "x"));
  const std::string initiation = network_.sent.at(0).bytes;
  for (size_t at = 0; at < initiation.size() - kMacBytes; ++at) {
    std::string bad = initiation;
    bad[at] ^= 1;
    EXPECT_EQ(b_.Take(a_.at, bad), at < 4 ? ReceiveResult::kMalformed : ReceiveResult::kBadMac1) << at;
  }
  // With a MAC that fits, as anyone who knows the public key can make.
  for (const size_t at : {8u, 39u, 40u, 87u, 88u, 115u}) {
    std::string bad = initiation;
    bad[at] ^= 1;
    CookieJar(b_.key()).AddMacs({reinterpret_cast<uint8_t*>(bad.data()), bad.size()}, 0);
    EXPECT_EQ(b_.Take(a_.at, bad), ReceiveResult::kForged) << at;
  }
  ASSERT_EQ(b_.Take(a_.at, initiation), ReceiveResult::kInitiation);
  const std::string response = network_.sent.at(1).bytes;
  for (const size_t at : {12u, 43u, 44u, 59u}) {
    std::string bad = response;
    bad[at] ^= 1;
    EXPECT_EQ(a_.Take(b_.at, bad), ReceiveResult::kBadMac1) << at;
    CookieJar(a_.key()).AddMacs({reinterpret_cast<uint8_t*>(bad.data()), bad.size()}, 0);
    EXPECT_EQ(a_.Take(b_.at, bad), ReceiveResult::kForged) << at;
  }
  std::string other = response;
  other[8] ^= 1;  // the receiver
  CookieJar(a_.key()).AddMacs({reinterpret_cast<uint8_t*>(other.data()), other.size()}, 0);
  EXPECT_EQ(a_.Take(b_.at, other), ReceiveResult::kUnknownIndex);
  EXPECT_EQ(a_.Take(b_.at, response), ReceiveResult::kResponse);
  EXPECT_EQ(a_.Take(b_.at, response), ReceiveResult::kUnknownIndex) << "a response answers once";
}

TEST_F(DeviceHandshakeTest, AStrangersInitiationIsNotAnswered) {
  ASSERT_TRUE(a_.device().SetPeer({.public_key = b_.key(), .endpoint = b_.at, .persistent_keepalive_s = 1}, 0).ok());
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(b_.Count(ReceiveResult::kUnknownPeer), 1u);
  EXPECT_THAT(SentTypes(), ElementsAre(MessageType::kInitiation));
}

TEST_F(DeviceHandshakeTest, BothBeginAtOnceAndBothAreServed) {
  network_.Connect(a_, b_);
  ASSERT_TRUE(b_.device().SetEndpoint(a_.key(), a_.at).ok());
  a_.SendPacket(Packet4(1, 2, "from a"));
  b_.SendPacket(Packet4(2, 1, "from b"));
  network_.Run(absl::Seconds(1));
  EXPECT_THAT(a_.delivered, ElementsAre(Packet4(2, 1, "from b")));
  EXPECT_THAT(b_.delivered, ElementsAre(Packet4(1, 2, "from a")));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(a_.SendPacket(Packet4(1, 2, "more")), SealResult::kSealed);
    EXPECT_EQ(b_.SendPacket(Packet4(2, 1, "more")), SealResult::kSealed);
    network_.Run(absl::Seconds(1));
  }
  EXPECT_EQ(a_.delivered.size(), 11u);
  EXPECT_EQ(b_.delivered.size(), 11u);
  EXPECT_EQ(a_.device().counters().initiations_sent, 1u);
  // One of the two sessions is left: who began it renews it.
  network_.Run(absl::Seconds(115));
  for (int i = 0; i < 3; ++i) {
    a_.SendPacket(Packet4(1, 2, "late"));
    b_.SendPacket(Packet4(2, 1, "late"));
    network_.Run(absl::Seconds(1));
  }
  EXPECT_EQ(a_.device().counters().initiations_sent + b_.device().counters().initiations_sent, 3u);
}

TEST_F(DeviceHandshakeTest, ALostResponseIsMadeUpForByTheNextAttempt) {
  network_.Connect(a_, b_);
  int responses = 0;
  network_.passes = [&](const Datagram& datagram) {
    return datagram.type() != MessageType::kResponse || ++responses > 1;
  };
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(6));
  EXPECT_EQ(responses, 2);
  EXPECT_THAT(b_.delivered, ElementsAre(Packet4(1, 2, "x")));
  EXPECT_THAT(a_.events, ElementsAre(PeerEvent::kHandshakeRetried, PeerEvent::kSessionStarted));
}

TEST_F(DeviceHandshakeTest, APeerThatBeganAnewIsFoundAgain) {
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(10));
  b_.Start();
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "into the void"));
  network_.Run(absl::Seconds(16));
  // No answer for KEEPALIVE + REKEY_TIMEOUT: a handshake.
  EXPECT_EQ(b_.Count(ReceiveResult::kUnknownIndex), 1u);
  a_.SendPacket(Packet4(1, 2, "again"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(b_.delivered.back(), Packet4(1, 2, "again"));
}

TEST_F(DeviceHandshakeTest, AClockSetBackDoesNotMakeOurInitiationsOld) {
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(200));
  network_.clock.SetWall(network_.clock.Now() - absl::Hours(24));
  a_.SendPacket(Packet4(1, 2, "y"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(b_.Count(ReceiveResult::kOldInitiation), 0u);
  EXPECT_EQ(b_.delivered.size(), 2u);
}

TEST_F(DeviceHandshakeTest, GarbageOfEachLengthIsCountedAndIgnored) {
  network_.Connect(a_, b_);
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  network_.sent.clear();
  for (size_t bytes = 0; bytes < 200; ++bytes) {
    for (int type = 0; type < 6; ++type) {
      std::string garbage(bytes, '\0');
      network_.random.Fill({reinterpret_cast<uint8_t*>(garbage.data()), bytes});
      for (size_t i = 0; i < 4 && i < bytes; ++i) garbage[i] = i == 0 ? static_cast<char>(type) : 0;
      const ReceiveResult result = b_.Take(a_.at, garbage);
      EXPECT_TRUE(result == ReceiveResult::kMalformed || result == ReceiveResult::kBadMac1 ||
                  result == ReceiveResult::kUnknownIndex)
          << Name(result);
    }
  }
  EXPECT_THAT(network_.sent, IsEmpty());
}

}  // namespace
}  // namespace lattice::wireguard
