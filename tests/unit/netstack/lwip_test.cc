// The engine against lwIP in memory: another reading of the same RFCs, without SACK, timestamps or large windows.
#include <map>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/netstack_network.h"
#include "tests/testing/seed.h"
#include "tests/unit/netstack/lwip_peer.h"

namespace lattice::testing {
namespace {

using netstack::kMillisecond;
using netstack::kSecond;

struct Case {
  std::string name;
  bool engine_connects = true;
  double loss = 0, reorder = 0, duplicate = 0, corrupt = 0;
  uint64_t up = 1 << 20, down = 1 << 20;
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

class Lwip : public ::testing::TestWithParam<Case>, public netstack::PacketSink {
 protected:
  Lwip() : host_({.addresses = {IpAddress::FromV4(0xc0000201)}}), random_(TestSeed()) {}
  ~Lwip() override { LwipPeer::Get().Stop(); }
  size_t Room() override { return 1000; }
  void Take(const netstack::PacketBurst& burst) override {
    for (size_t i = 0; i < burst.count; ++i) {
      std::string packet(burst.PacketBytes(i), '\0');
      burst.Copy(i, reinterpret_cast<uint8_t*>(packet.data()));
      Carry(std::move(packet), /*to_lwip=*/true);
    }
  }
  bool Chance(double p) { return p > 0 && std::uniform_real_distribution<double>()(random_) < p; }
  void Carry(std::string packet, bool to_lwip) {
    if (Chance(GetParam().loss)) return;
    if (Chance(GetParam().corrupt)) packet[random_() % packet.size()] ^= static_cast<char>(1 + random_() % 255);
    for (int copies = Chance(GetParam().duplicate) ? 2 : 1; copies > 0; --copies) {
      const int64_t late = Chance(GetParam().reorder) ? static_cast<int64_t>(random_() % (4 * kMillisecond)) : 0;
      flying_.emplace(now_ + 5 * kMillisecond + late, std::pair(to_lwip, packet));
    }
  }
  // lwIP's timers tick in its own clock, of milliseconds that began before this test.
  bool Run(const std::function<bool()>& done, int64_t time) {
    static int64_t lwip_ns = 0;
    for (const int64_t end = now_ + time; now_ < end;) {
      host_.stack().Poll(now_, *this);
      if (done()) return true;
      int64_t next = std::min(host_.stack().NextDeadline(), now_ + kMillisecond);
      if (!flying_.empty()) next = std::min(next, flying_.begin()->first);
      next = std::max(next, now_);
      lwip_ns += next - now_;
      now_ = next;
      LwipPeer::Get().Advance(static_cast<uint32_t>(1 + lwip_ns / kMillisecond));
      while (!flying_.empty() && flying_.begin()->first <= now_) {
        const auto [to_lwip, packet] = flying_.begin()->second;
        flying_.erase(flying_.begin());
        if (to_lwip) {
          LwipPeer::Get().Receive(packet);
        } else {
          host_.stack().Receive({reinterpret_cast<const uint8_t*>(packet.data()), packet.size()}, now_);
        }
      }
    }
    return false;
  }

  SimHost host_;
  std::mt19937_64 random_;
  int64_t now_ = kSecond;
  std::multimap<int64_t, std::pair<bool, std::string>> flying_;
};

TEST_P(Lwip, WhatGoesInComesOut) {
  const Case& c = GetParam();
  LwipPeer& peer = LwipPeer::Get();
  peer.send = [this](std::string packet) { Carry(std::move(packet), /*to_lwip=*/false); };
  peer.Start(c.down, /*own=*/2, /*other=*/1);
  const StreamOptions options{.send_bytes = c.up, .seed = 1, .peer_seed = 2};
  if (c.engine_connects) {
    peer.Listen(80);
    host_.Connect({IpAddress::FromV4(0xc0000202), 80}, options);
  } else {
    host_.Listen(80, options);
    peer.Connect(0xc0000201, 80);
  }
  const bool done =
      Run([&] { return host_.streams().size() == 1 && host_.streams()[0]->ended && peer.eof; }, 3000 * kSecond);
  ASSERT_EQ(host_.streams().size(), 1u);
  const Stream& ours = *host_.streams()[0];
  EXPECT_TRUE(done) << ours.sent << " sent, " << ours.received << " received; lwIP " << peer.sent << " sent, "
                    << peer.received << " received";
  EXPECT_FALSE(peer.failed);
  EXPECT_EQ(peer.received, c.up);
  EXPECT_FALSE(peer.mismatch);
  EXPECT_EQ(ours.received, c.down);
  EXPECT_FALSE(ours.mismatch);
}

INSTANTIATE_TEST_SUITE_P(
    Wires, Lwip,
    ::testing::Values(Case{.name = "Connect"}, Case{.name = "Listen", .engine_connects = false},
                      Case{.name = "OneByte", .up = 1, .down = 1}, Case{.name = "Loss", .loss = 0.02},
                      Case{.name = "ListenLoss", .engine_connects = false, .loss = 0.02},
                      Case{.name = "Reordering", .reorder = 0.1}, Case{.name = "Duplicates", .duplicate = 0.1},
                      Case{.name = "Corruption", .corrupt = 0.02},
                      Case{.name = "All", .loss = 0.01, .reorder = 0.02, .duplicate = 0.02, .corrupt = 0.01}),
    CaseName);

}  // namespace
}  // namespace lattice::testing
