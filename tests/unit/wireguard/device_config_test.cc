// Peers come, change and go.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/network.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(DeviceConfig, RefusesAKeyOfZerosAndAUselessMtu) {
  Network network(1);
  Node& node = network.Add(1);
  auto none = Device::Create({}, network.clock, network.random, node);
  EXPECT_THAT(std::string(none.status().message()), HasSubstr("private key"));
  DeviceOptions options;
  options.private_key.data()[0] = 1;
  for (const size_t mtu : {0u, 575u, 65536u}) {
    options.mtu = mtu;
    EXPECT_EQ(Device::Create(options, network.clock, network.random, node).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(DeviceConfig, RefusesPeersWithOurKeyOrNoOnes) {
  Network network(1);
  Node& node = network.Add(1);
  EXPECT_THAT(std::string(node.device().SetPeer({.public_key = node.key()}, 0).message()), HasSubstr("own key"));
  EXPECT_THAT(std::string(node.device().SetPeer({.public_key = {}}, 0).message()), HasSubstr("no private key"));
  EXPECT_THAT(node.device().Peers(), IsEmpty());
}

TEST(DeviceConfig, ShowsWhatWasSet) {
  Network network(1);
  Node& a = network.Add(1);
  Node& b = network.Add(2);
  network.Connect(a, b, {}, /*a_keepalive_s=*/25);
  const PeerStatus status = a.Peer();
  EXPECT_EQ(status.public_key, b.key());
  EXPECT_EQ(status.endpoint, b.at);
  EXPECT_EQ(status.persistent_keepalive_s, 25);
  EXPECT_THAT(status.allowed_ips,
              ElementsAre(IpPrefix::Parse("10.0.0.2/32").value(), IpPrefix::Parse("fd00::2/128").value()));
  EXPECT_EQ(status.last_handshake, absl::InfinitePast());
  EXPECT_FALSE(status.has_session);
  EXPECT_EQ(b.Peer().endpoint, std::nullopt);
}

TEST(DeviceConfig, AnUpdateKeepsTheSessionAndTheEndpoint) {
  Network network(1);
  Node& a = network.Add(1);
  Node& b = network.Add(2);
  network.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "one"));
  network.Run(absl::Seconds(1));
  ASSERT_THAT(b.delivered, ElementsAre(Packet4(1, 2, "one")));
  ASSERT_TRUE(
      a.device()
          .SetPeer({.public_key = b.key(), .allowed_ips = {IpPrefix::Parse("10.0.0.0/24").value()}}, network.now_ns())
          .ok());
  EXPECT_EQ(a.SendPacket(Packet4(1, 2, "two")), SealResult::kSealed);
  EXPECT_EQ(a.SendPacket(Packet6(1, 2, "gone")), SealResult::kNoRoute);
  network.Run(absl::Seconds(1));
  EXPECT_THAT(b.delivered, ElementsAre(Packet4(1, 2, "one"), Packet4(1, 2, "two")));
  EXPECT_EQ(a.device().counters().initiations_sent, 1u);
}

TEST(DeviceConfig, ARemovedPeerIsForgotten) {
  Network network(1);
  Node& a = network.Add(1);
  Node& b = network.Add(2);
  Node& c = network.Add(3);
  network.Connect(a, b, {}, /*a_keepalive_s=*/1);
  network.Connect(a, c);
  a.SendPacket(Packet4(1, 2, "one"));
  network.Run(absl::Seconds(1));
  ASSERT_EQ(b.delivered.size(), 1u);
  ASSERT_TRUE(a.device().RemovePeer(b.key()).ok());
  EXPECT_EQ(a.device().RemovePeer(b.key()).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a.device().SetEndpoint(b.key(), b.at).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(a.device().Peers().size(), 1u);
  EXPECT_EQ(a.SendPacket(Packet4(1, 2, "two")), SealResult::kNoRoute);
  // Its session's index is no one's, its initiations are a stranger's, its timers are gone.
  b.SendPacket(Packet4(2, 1, "three"));
  network.Run(absl::Seconds(20));
  EXPECT_GT(a.Count(ReceiveResult::kUnknownIndex), 0u);
  EXPECT_GT(a.Count(ReceiveResult::kUnknownPeer), 0u);
  EXPECT_THAT(a.delivered, IsEmpty());
  EXPECT_EQ(a.device().next_deadline_ns(), kNever);
  // Its place is another's.
  network.Connect(a, b);
  EXPECT_EQ(a.SendPacket(Packet4(1, 2, "four")), SealResult::kStaged);
  EXPECT_EQ(a.SendPacket(Packet4(1, 3, "five")), SealResult::kStaged);
  network.Run(absl::Seconds(6));
  EXPECT_EQ(b.delivered.back(), Packet4(1, 2, "four"));
  EXPECT_THAT(c.delivered, ElementsAre(Packet4(1, 3, "five")));
}

TEST(DeviceConfig, WithoutAnEndpointThePeerIsHeardFirst) {
  Network network(1);
  Node& a = network.Add(1);
  Node& b = network.Add(2);
  network.Connect(a, b);
  EXPECT_EQ(b.SendPacket(Packet4(2, 1, "early")), SealResult::kNoEndpoint);
  EXPECT_THAT(network.sent, IsEmpty());
  ASSERT_TRUE(b.device().SetEndpoint(a.key(), a.at).ok());
  EXPECT_EQ(b.SendPacket(Packet4(2, 1, "now")), SealResult::kStaged);
  network.Run(absl::Seconds(1));
  EXPECT_THAT(a.delivered, ElementsAre(Packet4(2, 1, "now")));
}

}  // namespace
}  // namespace lattice::wireguard
