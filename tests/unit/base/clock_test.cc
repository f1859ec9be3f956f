#include "userspace/base/clock.h"

#include <gtest/gtest.h>
#include <time.h>

#include "absl/time/clock.h"
#include "tests/testing/fake_clock.h"

namespace lattice {
namespace {

TEST(RealClock, IsTheKernelsMonotonicClock) {
  timespec raw;
  ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &raw), 0);
  const int64_t before = int64_t{raw.tv_sec} * 1'000'000'000 + raw.tv_nsec;
  const int64_t now = RealClock().MonotonicNs();
  ASSERT_EQ(clock_gettime(CLOCK_MONOTONIC, &raw), 0);
  EXPECT_LE(before, now);
  EXPECT_LE(now, int64_t{raw.tv_sec} * 1'000'000'000 + raw.tv_nsec);
}

TEST(FakeClock, MovesOnlyWhenTold) {
  lattice::testing::FakeClock clock;
  const absl::Time wall = clock.Now();
  const int64_t monotonic = clock.MonotonicNs();
  clock.Advance(absl::Milliseconds(5));
  EXPECT_EQ(clock.Now(), wall + absl::Milliseconds(5));
  EXPECT_EQ(clock.MonotonicNs(), monotonic + 5'000'000);
  clock.SetWall(wall - absl::Hours(1));
  EXPECT_EQ(clock.Now(), wall - absl::Hours(1));
  EXPECT_EQ(clock.MonotonicNs(), monotonic + 5'000'000);
}

}  // namespace
}  // namespace lattice
