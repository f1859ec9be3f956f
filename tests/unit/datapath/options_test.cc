#include "userspace/datapath/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace lattice::datapath {
namespace {

using ::testing::HasSubstr;

TEST(Options, DefaultsAreValid) {
  EXPECT_TRUE(Validate({.iface = "wg0"}).ok());
}

struct Case {
  std::string name;
  std::function<void(Options&)> change;
  std::string want;  // in the message
};

class BadOption : public ::testing::TestWithParam<Case> {};

TEST_P(BadOption, IsRefusedByNameAndValue) {
  Options options{.iface = "wg0"};
  GetParam().change(options);
  const absl::Status status = Validate(options);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().want));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadOption,
    ::testing::Values(
        Case{.name = "NoInterface", .change = [](Options& o) { o.iface = ""; }, .want = "--iface"},
        Case{.name = "RelativePinPath",
             .change = [](Options& o) { o.pin_path = "x/y"; },
             .want = "--pin-path is \"x/y\""},
        Case{.name = "NoFlows", .change = [](Options& o) { o.max_flows = 0; }, .want = "--max-flows is 0"},
        Case{.name = "TooManyFlows",
             .change = [](Options& o) { o.max_flows = ~0u; },
             .want = "--max-flows is 4294967295"},
        Case{.name = "RingOfNoPowerOfTwo", .change = [](Options& o) { o.flow_ring_bytes = 12288; }, .want = "12288"},
        Case{.name = "RingBelowAPage", .change = [](Options& o) { o.denied_ring_bytes = 2048; }, .want = "2048"},
        Case{.name = "NoIdleTime",
             .change = [](Options& o) { o.flow_idle_timeout = absl::ZeroDuration(); },
             .want = "--flow-idle-timeout is 0"},
        Case{.name = "EndlessActiveTime",
             .change = [](Options& o) { o.flow_active_timeout = absl::InfiniteDuration(); },
             .want = "--flow-active-timeout is inf"}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace lattice::datapath
