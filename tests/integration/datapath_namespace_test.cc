// Two network namespaces may have interfaces of one name; their pins must not mix.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/integration/datapath_fixture.h"
#include "userspace/base/net_device.h"
#include "userspace/datapath/detach.h"
#include "userspace/datapath/lock.h"

namespace lattice::datapath {
namespace {

using lattice::testing::NetNamespace;
using lattice::testing::TunDevice;
using ::testing::HasSubstr;

using DatapathNamespaces = DatapathTest;

TEST_F(DatapathNamespaces, ASecondInterfaceOfTheNameIsRefusedWhileTheFirstLives) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  auto other = NetNamespace::Create("datapath-other");
  ASSERT_TRUE(other.ok()) << other.status();
  const auto tun = TunDevice::Create(**other, kDevice, {"192.0.2.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  absl::Status status;
  (*other)->Run([&] { status = Datapath::Create(DefaultOptions(), Allow({"0.0.0.0/0"})).status(); });
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("network namespace"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("--pin-path"));
  EXPECT_FALSE(Crosses("203.0.113.7", 53)) << "the first one's policy is untouched";

  DeleteDevice();
  (*other)->Run([&] {
    const auto adopted = Datapath::Create(DefaultOptions(), Allow({}));
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_TRUE((*adopted)->adopted());
    EXPECT_TRUE((*adopted)->Hooks()[0].enforcing);
  });
}

TEST_F(DatapathNamespaces, DetachLeavesTheInterfaceOfAnotherNamespaceAlone) {
  ASSERT_TRUE(Create(DefaultOptions(), Allow({})).ok());
  const absl::Status status = Detach(kDevice, pin_path_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("network namespace"));
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
  DeleteDevice();
  EXPECT_TRUE(Detach(kDevice, pin_path_).ok()) << "left over";
}

TEST_F(DatapathNamespaces, WithoutALinkTheDaemonElsewhereTellsWhetherTheyAreLeftOver) {
  Options options = DefaultOptions();
  options.tc_kind = TcKind::kClsact;
  ASSERT_TRUE(Create(options, Allow({})).ok());
  auto other = NetNamespace::Create("datapath-other");
  ASSERT_TRUE(other.ok()) << other.status();
  const auto tun = TunDevice::Create(**other, kDevice, {"192.0.2.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  std::optional<InterfaceLock> lock;
  Inside([&] {
    auto held = InterfaceLock::Acquire(kDevice);
    ASSERT_TRUE(held.ok()) << held.status();
    lock = *std::move(held);
  });
  (*other)->Run([&] {
    EXPECT_TRUE(absl::IsFailedPrecondition(Datapath::Create(options, Allow({})).status()));
    lock.reset();
    const auto adopted = Datapath::Create(options, Allow({}));
    ASSERT_TRUE(adopted.ok()) << adopted.status();
    EXPECT_TRUE((*adopted)->adopted());
    EXPECT_TRUE(Detach(kDevice, pin_path_).ok());
  });
}

TEST_F(DatapathNamespaces, TheLockIsPerNamespace) {
  const std::string outside = InstanceName("wg0").value();
  std::string inside;
  NetNamespace& ns = *ns_;
  ns.Run([&] { inside = InstanceName("wg0").value(); });
  EXPECT_EQ(outside, "wg0");
  EXPECT_THAT(inside, HasSubstr("wg0@"));
}

TEST_F(DatapathNamespaces, ADeviceIsWhatTheThreadsNamespaceHas) {
  EXPECT_TRUE(absl::IsNotFound(LookupNetDevice(kDevice).status()));
  Inside([&] {
    const auto device = LookupNetDevice(kDevice);
    ASSERT_TRUE(device.ok()) << device.status();
    EXPECT_TRUE(device->up);
    EXPECT_EQ(device->mtu, 1420);
    EXPECT_EQ(L2HeaderBytes(device->type).value(), 0u);
    EXPECT_EQ(L2HeaderBytes(LookupNetDevice("lo").value().type).value(), 14u);
    EXPECT_NE(CurrentNetNamespace().value().cookie, 0u);
  });
  EXPECT_TRUE(absl::IsInvalidArgument(LookupNetDevice("no/such").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(LookupNetDevice("name-that-is-too-long").status()));
}

}  // namespace
}  // namespace lattice::datapath
