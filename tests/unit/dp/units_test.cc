#include "userspace/dp/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lattice::dp {
namespace {

using ::testing::HasSubstr;

TEST(Units, ADurationIsANumberWithItsUnit) {
  EXPECT_EQ(*ParseDuration("500ms"), absl::Milliseconds(500));
  EXPECT_EQ(*ParseDuration("60s"), absl::Seconds(60));
  EXPECT_EQ(*ParseDuration("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ParseDuration("7d"), absl::Hours(168));
  EXPECT_EQ(*ParseDuration("1d12h"), absl::Hours(36));
  EXPECT_EQ(*ParseDuration("0s"), absl::ZeroDuration());
}

TEST(Units, ADurationWithoutUnitOrBelowZeroOrInfiniteIsRefused) {
  for (const char* text : {"", "60", "0", "s", "-5s", "inf", "5 s", "5x", "1.5", "99999999999999999999d", "7dd"}) {
    const auto duration = ParseDuration(text);
    ASSERT_FALSE(duration.ok()) << text;
    EXPECT_THAT(duration.status().message(), HasSubstr(text));
    EXPECT_THAT(duration.status().message(), HasSubstr("60s")) << "an example helps";
  }
}

TEST(Units, APrintedDurationIsReadBack) {
  for (const absl::Duration duration :
       {absl::ZeroDuration(), absl::Milliseconds(100), absl::Minutes(124), absl::Hours(48)}) {
    EXPECT_EQ(*ParseDuration(duration == absl::ZeroDuration() ? "0s" : PrintDuration(duration)), duration);
  }
}

TEST(Units, ASizeIsANumberOfBytesWithAnOptionalUnit) {
  EXPECT_EQ(*ParseSize("4096"), 4096u);
  EXPECT_EQ(*ParseSize("64MiB"), 64u << 20);
  EXPECT_EQ(*ParseSize("2gib"), uint64_t{2} << 30);
  EXPECT_EQ(*ParseSize("1KB"), 1000u);
  EXPECT_EQ(*ParseSize("7B"), 7u);
  EXPECT_EQ(*ParseSize("0"), 0u);
}

TEST(Units, ASizeThatIsNoneOrTooLargeIsRefused) {
  for (const char* text : {"", "MiB", "-1", "1.5MiB", "64MX", "64 MiB", "18446744073709551616", "99999999999GiB"}) {
    const auto size = ParseSize(text);
    ASSERT_FALSE(size.ok()) << text;
    EXPECT_THAT(size.status().message(), HasSubstr("64MiB")) << "an example helps";
  }
}

TEST(Units, APrintedSizeIsReadBack) {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1024}, uint64_t{65536}, uint64_t{3} << 30}) {
    EXPECT_EQ(*ParseSize(PrintSize(size)), size) << PrintSize(size);
  }
  EXPECT_EQ(PrintSize(64 << 20), "64MiB");
}

}  // namespace
}  // namespace lattice::dp
