// Three devices that talk for a long time over a bad path, on a clock that jumps: every packet is delivered at most
// once and to whom it was meant, sessions are renewed meanwhile, and without loss no packet is lost.
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "tests/unit/wireguard/network.h"

namespace lattice::wireguard {
namespace {

struct Talk {
  int sent = 0;
  int delivered = 0;
};

class Simulation : public ::testing::Test {
 protected:
  Simulation() : seed_(testing::TestSeed()), random_(seed_) {}

  void Build(const Faults& faults, const DeviceOptions& options = {}) {
    network_ = std::make_unique<Network>(seed_, faults);
    for (int number = 1; number <= 3; ++number) nodes_[number] = &network_->Add(number, options);
    for (const auto& [a, b] : {std::pair(1, 2), std::pair(2, 3), std::pair(3, 1)}) {
      network_->Connect(*nodes_[a], *nodes_[b]);
      ASSERT_TRUE(nodes_[b]->device().SetEndpoint(nodes_[a]->key(), nodes_[a]->at).ok());
    }
  }

  // Random packets for so long, then time for what is under way.
  Talk TalkFor(absl::Duration duration) {
    std::set<std::string> sent;  // in this talk
    const absl::Time end = network_->clock.Now() + duration;
    while (network_->clock.Now() < end) {
      const int from = 1 + static_cast<int>(random_() % 3);
      const int to = 1 + (from + static_cast<int>(random_() % 2)) % 3;
      const std::string text = absl::StrCat("#", ++number_, std::string(random_() % 1300, '.'));
      const std::string packet = random_() % 2 == 0 ? Packet4(from, to, text) : Packet6(from, to, text);
      sent.insert(packet);
      meant_for_[packet] = to;
      nodes_[from]->SendPacket(packet);
      network_->Run(absl::Milliseconds(1 + random_() % 200));
    }
    network_->Run(absl::Seconds(20));
    Talk talk{.sent = static_cast<int>(sent.size())};
    for (auto& [number, node] : nodes_) {
      for (const std::string& packet : node->delivered) {
        const auto it = meant_for_.find(packet);
        if (it == meant_for_.end()) {
          ADD_FAILURE() << "delivered twice, or never sent";
          continue;
        }
        EXPECT_EQ(it->second, number);
        meant_for_.erase(it);
        // Others are of an earlier talk and have waited for a session since.
        talk.delivered += static_cast<int>(sent.count(packet));
      }
      node->delivered.clear();
    }
    return talk;
  }

  const uint64_t seed_;
  std::mt19937_64 random_;
  std::unique_ptr<Network> network_;
  std::map<int, Node*> nodes_;
  std::map<std::string, int> meant_for_;  // packets that were not delivered yet, and to whom they go
  int number_ = 0;
};

TEST_F(Simulation, ReorderedAndDuplicatedButNotLostAllArrivesOnce) {
  Build({.duplicate = 0.3, .more_delay = absl::Milliseconds(200)});
  const Talk talk = TalkFor(absl::Minutes(15));
  EXPECT_EQ(talk.delivered, talk.sent);
  for (const auto& [number, node] : nodes_) {
    EXPECT_GT(node->Count(ReceiveResult::kReplayed), 100u);
    // Renewed every two minutes or so, with each of two peers.
    EXPECT_GE(node->device().counters().sessions, 10u);
    EXPECT_EQ(node->Count(ReceiveResult::kForged), 0u);
    EXPECT_EQ(node->Count(ReceiveResult::kWrongSource), 0u);
  }
}

TEST_F(Simulation, LossCostsWhatIsLost) {
  Build({.loss = 0.1, .duplicate = 0.1, .more_delay = absl::Milliseconds(100)});
  const Talk talk = TalkFor(absl::Minutes(15));
  EXPECT_LT(talk.delivered, talk.sent);
  EXPECT_GT(talk.delivered, talk.sent * 8 / 10);
}

TEST_F(Simulation, ATerriblePathHealsWithinAHandshake) {
  Build({.loss = 0.7, .duplicate = 0.3, .more_delay = absl::Seconds(3)});
  TalkFor(absl::Minutes(10));
  network_->faults = {};
  TalkFor(absl::Seconds(40));
  // Handshakes of both sides may still cross once.
  const Talk talk = TalkFor(absl::Minutes(3));
  EXPECT_GE(talk.delivered, talk.sent * 99 / 100);
}

TEST_F(Simulation, UnderLoadCookiesCostTimeAndNoPackets) {
  DeviceOptions options;
  options.handshakes_per_second = 0;
  Build({.more_delay = absl::Milliseconds(20)}, options);
  TalkFor(absl::Seconds(30));
  const Talk talk = TalkFor(absl::Minutes(10));
  EXPECT_EQ(talk.delivered, talk.sent);
  EXPECT_GT(nodes_[1]->Count(ReceiveResult::kCookieReply), 0u);
}

TEST_F(Simulation, NodesThatMoveStayConnected) {
  Build({.more_delay = absl::Milliseconds(20)});
  TalkFor(absl::Seconds(30));
  for (int move = 0; move < 20; ++move) {
    nodes_[1 + move % 3]->at.port = static_cast<uint16_t>(1000 + move);
    // What is under way to the old port is lost; who moved is heard at the new one.
    for (const auto& [number, node] : nodes_) {
      for (int to = 1; to <= 3; ++to) {
        if (to != number) node->SendPacket(Packet4(number, to, "here"));
      }
    }
    network_->Run(absl::Seconds(1));
    for (const auto& [number, node] : nodes_) node->delivered.clear();
    const Talk talk = TalkFor(absl::Seconds(10));
    EXPECT_EQ(talk.delivered, talk.sent) << "move " << move;
  }
}

}  // namespace
}  // namespace lattice::wireguard
