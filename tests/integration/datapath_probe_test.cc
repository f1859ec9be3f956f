// What `lattice dp doctor` says about a good host, and about each thing that can be wrong.
#include "userspace/datapath/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/integration/datapath_fixture.h"
#include "tests/testing/tcx_chain.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

using lattice::testing::AttachForeignProgram;
using lattice::testing::TcxHook;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class DatapathProbe : public DatapathTest {
 protected:
  std::vector<Check> Run(const Options& options) {
    std::vector<Check> checks;
    Inside([&] { checks = Probe(options); });
    return checks;
  }
  static uint32_t LinkId(const Options& options) {
    const auto link = OpenPin(absl::StrCat(PinFolder(options.pin_path, options.iface), "/link_tc_egress"));
    const auto info = link.ok() ? LinkInfo(link->get()) : link.status();
    EXPECT_TRUE(info.ok()) << info.status();
    return info.ok() ? info->id : 0;
  }
  Check Find(const Options& options, const std::string& name) {
    for (Check& check : Run(options)) {
      if (check.name == name) return check;
    }
    ADD_FAILURE() << "no check " << name;
    return {};
  }
};

TEST_F(DatapathProbe, AGoodHostHasNothingToRemedy) {
  for (const Check& check : Run(DefaultOptions())) {
    EXPECT_TRUE(check.ok) << check.name << ": " << check.detail << ": " << check.remedy;
    EXPECT_NE(check.detail, "") << check.name;
  }
}

TEST_F(DatapathProbe, EveryCheckThatFailsHasARemedy) {
  Options options = DefaultOptions();
  options.iface = "lat9";
  options.pin_path = "/tmp/no-bpffs";
  options.cgroups = {"/tmp"};
  int fatal = 0;
  for (const Check& check : Run(options)) {
    EXPECT_EQ(check.ok, check.remedy.empty()) << check.name;
    fatal += check.fatal && !check.ok;
  }
  EXPECT_EQ(fatal, 3) << "bpffs, cgroup and interface";
  EXPECT_TRUE(Find(options, "interface.exists").fatal);
  EXPECT_THAT(Find(options, "bpffs").remedy, HasSubstr("mount -t bpf"));
}

TEST_F(DatapathProbe, PinsWithoutADaemonAreWorthALook) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  const Check layout = Find(DefaultOptions(), "pins.layout");
  EXPECT_TRUE(layout.ok) << layout.detail;
  const Check stale = Find(DefaultOptions(), "pins.stale");
  EXPECT_FALSE(stale.ok || stale.fatal);
  EXPECT_THAT(stale.detail, HasSubstr("no latticed-dp runs"));
  DeleteDevice();
  EXPECT_THAT(Find(DefaultOptions(), "pins.stale").detail, HasSubstr("link_tc_egress, link_tc_ingress"));
}

TEST_F(DatapathProbe, PinsOfOtherSizesAreFatal) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  Options options = DefaultOptions();
  options.max_flows = 4096;
  const Check layout = Find(options, "pins.layout");
  EXPECT_TRUE(!layout.ok && layout.fatal);
  EXPECT_THAT(layout.remedy, HasSubstr("--max-flows 1024"));
}

TEST_F(DatapathProbe, AProgramInFrontIsNamed) {
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_THAT(Find(DefaultOptions(), "programs.tc_egress").detail, HasSubstr("first of 1"));
  const auto foreign = AttachForeignProgram(*ns_, kDevice, TcxHook::kEgress);
  ASSERT_TRUE(foreign.ok()) << foreign.status();
  const Check egress = Find(DefaultOptions(), "programs.tc_egress");
  EXPECT_FALSE(egress.ok || egress.fatal);
  EXPECT_THAT(egress.detail, HasSubstr("foreign"));
  EXPECT_TRUE(Find(DefaultOptions(), "programs.tc_ingress").ok);
}

TEST_F(DatapathProbe, WithAnotherPinPathWhatEnforcesIsNotCalledACopy) {
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  Options options = DefaultOptions();
  options.pin_path += "-second";
  const Check check = Find(options, "programs.tc_egress");
  EXPECT_FALSE(check.ok || check.fatal);
  EXPECT_THAT(check.detail, HasSubstr("a data plane with another --pin-path enforces here"));
  EXPECT_THAT(check.remedy, AllOf(HasSubstr("--pin-path"), Not(HasSubstr("detach"))));
}

TEST_F(DatapathProbe, AuditModeIsWorthALook) {
  EXPECT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  EXPECT_TRUE(Find(DefaultOptions(), "pins.mode").ok);
  Options options = DefaultOptions();
  options.mode = LAT_MODE_AUDIT;
  ASSERT_TRUE(Create(options, Allow({})).ok());
  const Check mode = Find(options, "pins.mode");
  EXPECT_FALSE(mode.ok || mode.fatal);
  EXPECT_THAT(mode.remedy, HasSubstr("--mode enforce"));
}

TEST_F(DatapathProbe, ACopyOfOurProgramIsFound) {
  const auto first = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(first.ok()) << first.status();
  Options options = DefaultOptions();
  options.pin_path += "-second";  // a second daemon that went past the lock
  {
    const auto second = Create(options, Allow({}));
    ASSERT_TRUE(second.ok()) << second.status();
    const Check copies = Find(DefaultOptions(), "programs.tc_egress");
    EXPECT_THAT(copies.detail, HasSubstr("copies of our program"));
    EXPECT_THAT(copies.remedy, HasSubstr(absl::StrCat("bpftool link detach id ", LinkId(options))));
    EXPECT_EQ(Hooks(**second)[0].chain_length, 2);
    EXPECT_THAT(Hooks(**second)[0].detail, HasSubstr("is a copy of ours"));
    EXPECT_THAT(Hooks(**first)[0].detail, HasSubstr("is a copy of ours"));
  }
  std::swap(pin_path_, options.pin_path);
  DatapathTest::TearDown();
  std::swap(pin_path_, options.pin_path);
}

}  // namespace
}  // namespace lattice::datapath
