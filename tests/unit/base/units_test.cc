#include "userspace/base/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lattice {
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

struct BadText {
  const char* name;
  const char* text;
};
const auto kBadTextName = [](const ::testing::TestParamInfo<BadText>& bad) { return std::string(bad.param.name); };

class BadDuration : public ::testing::TestWithParam<BadText> {};

TEST_P(BadDuration, IsRefusedWithAnExample) {
  const absl::Status status = ParseDuration(GetParam().text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().text));
  EXPECT_THAT(status.message(), HasSubstr("60s"));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadDuration,
    ::testing::Values(BadText{.name = "Nothing", .text = ""}, BadText{.name = "NoUnit", .text = "60"},
                      BadText{.name = "ZeroWithoutUnit", .text = "0"}, BadText{.name = "NoNumber", .text = "s"},
                      BadText{.name = "BelowZero", .text = "-5s"}, BadText{.name = "Plus", .text = "+5s"},
                      BadText{.name = "MinusAfterDays", .text = "1d-1h"},
                      BadText{.name = "PlusAfterDays", .text = "1d+1h"}, BadText{.name = "Infinite", .text = "inf"},
                      BadText{.name = "Blank", .text = "5 s"}, BadText{.name = "OtherUnit", .text = "5x"},
                      BadText{.name = "FractionWithoutUnit", .text = "1.5"}, BadText{.name = "TwoUnits", .text = "7dd"},
                      BadText{.name = "DaysAboveTheirType", .text = "99999999999999999999d"},
                      BadText{.name = "HoursAboveTheirType", .text = "99999999999999999999h"}),
    kBadTextName);

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

class BadSize : public ::testing::TestWithParam<BadText> {};

TEST_P(BadSize, IsRefusedWithAnExample) {
  const absl::Status status = ParseSize(GetParam().text).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("64MiB"));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadSize,
    ::testing::Values(BadText{.name = "Nothing", .text = ""}, BadText{.name = "NoNumber", .text = "MiB"},
                      BadText{.name = "BelowZero", .text = "-1"}, BadText{.name = "Plus", .text = "+1"},
                      BadText{.name = "Fraction", .text = "1.5MiB"}, BadText{.name = "OtherUnit", .text = "64MX"},
                      BadText{.name = "Blank", .text = "64 MiB"},
                      BadText{.name = "AboveSixtyFourBits", .text = "18446744073709551616"},
                      BadText{.name = "ProductAboveSixtyFourBits", .text = "99999999999GiB"}),
    kBadTextName);

TEST(Units, APrintedSizeIsReadBack) {
  for (const uint64_t size :
       {uint64_t{0}, uint64_t{1}, uint64_t{1000}, uint64_t{1024}, uint64_t{65536}, uint64_t{3} << 30}) {
    EXPECT_EQ(*ParseSize(PrintSize(size)), size) << PrintSize(size);
  }
  EXPECT_EQ(PrintSize(64 << 20), "64MiB");
}

}  // namespace
}  // namespace lattice
