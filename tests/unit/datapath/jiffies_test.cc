#include "userspace/datapath/jiffies.h"

#include <gtest/gtest.h>

namespace lattice::datapath {
namespace {

TEST(Jiffies, LengthIsOneOfTheTicksThatKernelsAreBuiltWith) {
  const auto ns = NsPerJiffy();
  ASSERT_TRUE(ns.ok()) << ns.status();
  // HZ=100, 250, 300 (3333333.3 ns) and 1000: Debian has 250.
  EXPECT_TRUE(*ns == 10'000'000 || *ns == 4'000'000 || *ns == 3'333'333 || *ns == 1'000'000) << *ns;
}

TEST(Jiffies, DurationsRoundUpAndAreNeverZero) {
  EXPECT_EQ(ToJiffies(absl::Milliseconds(8), 4'000'000), 2u);
  EXPECT_EQ(ToJiffies(absl::Milliseconds(9), 4'000'000), 3u);
  EXPECT_EQ(ToJiffies(absl::Nanoseconds(1), 4'000'000), 1u);
  EXPECT_EQ(ToJiffies(absl::ZeroDuration(), 4'000'000), 1u);
  EXPECT_EQ(ToJiffies(-absl::Seconds(1), 4'000'000), 1u);
  EXPECT_EQ(ToJiffies(absl::Hours(24 * 365), 1'000'000), 31'536'000'000u);
}

}  // namespace
}  // namespace lattice::datapath
