#include "userspace/wireguard/timer_queue.h"

#include <map>
#include <random>

#include "gtest/gtest.h"
#include "tests/testing/seed.h"

namespace lattice::wireguard {
namespace {

TEST(TimerQueue, AnEmptyOneIsNeverDue) {
  TimerQueue queue;
  EXPECT_EQ(queue.earliest_ns(), kNever);
  EXPECT_EQ(queue.PopDue(INT64_MAX - 1), kNoPeer);
  queue.AtLatest(3, kNever);
  EXPECT_EQ(queue.earliest_ns(), kNever);
  queue.Remove(3);
}

TEST(TimerQueue, OnlyAnEarlierDeadlineMovesAnEntry) {
  TimerQueue queue;
  queue.AtLatest(1, 100);
  queue.AtLatest(1, 200);
  EXPECT_EQ(queue.earliest_ns(), 100);
  queue.AtLatest(1, 50);
  EXPECT_EQ(queue.earliest_ns(), 50);
  EXPECT_EQ(queue.PopDue(49), kNoPeer);
  EXPECT_EQ(queue.PopDue(50), 1u);
  EXPECT_EQ(queue.earliest_ns(), kNever);
}

TEST(TimerQueue, AgreesWithAMapOnRandomWork) {
  std::mt19937_64 random(testing::TestSeed());
  TimerQueue queue;
  std::map<PeerSlot, int64_t> all;
  const auto earliest = [&] {
    int64_t least = kNever;
    for (const auto& [peer, at] : all) least = std::min(least, at);
    return least;
  };
  for (int i = 0; i < 50'000; ++i) {
    const auto peer = static_cast<PeerSlot>(random() % 40);
    const auto at = static_cast<int64_t>(random() % 10'000);
    switch (random() % 4) {
      case 0:
      case 1:
        queue.AtLatest(peer, at);
        all[peer] = all.contains(peer) ? std::min(all[peer], at) : at;
        break;
      case 2:
        queue.Remove(peer);
        all.erase(peer);
        break;
      case 3:
        const PeerSlot due = queue.PopDue(at);
        if (earliest() > at) {
          ASSERT_EQ(due, kNoPeer);
        } else {
          ASSERT_EQ(all.at(due), earliest());
          all.erase(due);
        }
        break;
    }
    ASSERT_EQ(queue.earliest_ns(), earliest());
  }
}

}  // namespace
}  // namespace lattice::wireguard
