#include "userspace/wireguard/replay_window.h"

#include <random>
#include <set>

#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "userspace/wireguard/constants.h"

namespace lattice::wireguard {
namespace {

constexpr uint64_t kWindow = ReplayWindow::kPackets;

TEST(ReplayWindow, TakesEachCounterOnce) {
  ReplayWindow window;
  for (uint64_t i = 0; i < 3 * kWindow; ++i) ASSERT_TRUE(window.Accept(i));
  for (uint64_t i = 2 * kWindow; i < 3 * kWindow; ++i) ASSERT_FALSE(window.Accept(i));
}

TEST(ReplayWindow, ReachesBackItsWholeLengthAndNoFurther) {
  for (const uint64_t newest : {kWindow, kWindow + 1, kWindow + 63, 5 * kWindow + 17, uint64_t{1} << 40}) {
    ReplayWindow window;
    ASSERT_TRUE(window.Accept(newest));
    EXPECT_FALSE(window.Accept(newest));
    EXPECT_TRUE(window.Accept(newest - kWindow + 1)) << newest;
    EXPECT_FALSE(window.Accept(newest - kWindow)) << newest;
    EXPECT_FALSE(window.Accept(0));
  }
}

TEST(ReplayWindow, AJumpForgetsNothingThatIsStillInside) {
  ReplayWindow window;
  ASSERT_TRUE(window.Accept(100));
  ASSERT_TRUE(window.Accept(100 + kWindow - 1));
  EXPECT_FALSE(window.Accept(100));
  EXPECT_TRUE(window.Accept(101));
}

TEST(ReplayWindow, TheLastCounterOfASession) {
  ReplayWindow window;
  EXPECT_TRUE(window.Accept(kRejectAfterMessages - 1));
  EXPECT_FALSE(window.Accept(kRejectAfterMessages - 1));
  EXPECT_TRUE(window.Accept(kRejectAfterMessages - 2));
}

// A set of all that came, with the rule of the paper.
TEST(ReplayWindow, AgreesWithASetOnRandomCounters) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 20; ++round) {
    ReplayWindow window;
    std::set<uint64_t> seen;
    uint64_t around = random() % 20'000;
    for (int i = 0; i < 20'000; ++i) {
      if (random() % 500 == 0) around += random() % (3 * kWindow);
      const uint64_t counter = around + random() % 300 - random() % std::min<uint64_t>(around + 1, kWindow + 200);
      const bool fresh = (seen.empty() || counter + kWindow > *seen.rbegin()) && !seen.contains(counter);
      ASSERT_EQ(window.Accept(counter), fresh) << counter << " after " << (seen.empty() ? 0 : *seen.rbegin());
      if (fresh) seen.insert(counter);
      around += random() % 3;
    }
  }
}

}  // namespace
}  // namespace lattice::wireguard
