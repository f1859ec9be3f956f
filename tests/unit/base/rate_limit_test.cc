#include "userspace/base/rate_limit.h"

#include <gtest/gtest.h>

#include "tests/testing/fake_clock.h"

namespace lattice {
namespace {

TEST(RateLimit, LetsOneThroughPerIntervalAndCountsTheRest) {
  lattice::testing::FakeClock clock;
  RateLimit limit(absl::Seconds(10));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), 0u);  // the first, with nothing suppressed
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), std::nullopt);
  clock.Advance(absl::Seconds(10) - absl::Nanoseconds(1));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), std::nullopt);
  clock.Advance(absl::Nanoseconds(1));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), 2u);
  clock.Advance(absl::Hours(1));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), 0u);
}

TEST(RateLimit, CountsIntervalsFromTheLastOneLetThrough) {
  lattice::testing::FakeClock clock;
  RateLimit limit(absl::Seconds(10));
  limit.Admit(clock.MonotonicNs());
  clock.Advance(absl::Seconds(15));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), 0u);
  clock.Advance(absl::Seconds(9));
  EXPECT_EQ(limit.Admit(clock.MonotonicNs()), std::nullopt);
}

TEST(RateLimit, OfNothingLetsAllThrough) {
  RateLimit limit(absl::ZeroDuration());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limit.Admit(5), 0u);
}

}  // namespace
}  // namespace lattice
