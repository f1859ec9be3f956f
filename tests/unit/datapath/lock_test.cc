#include "userspace/datapath/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/testing/temp_dir.h"

namespace lattice::datapath {
namespace {

using lattice::testing::TempDir;
using ::testing::HasSubstr;

TEST(InterfaceLock, SecondHolderIsRefusedAndToldTheFirstOnesPid) {
  TempDir dir;
  const auto first = InterfaceLock::Acquire("lat0", dir.path());
  ASSERT_TRUE(first.ok()) << first.status();
  // flock is between open files, so a second one in this process is as good as one of another process.
  const auto second = InterfaceLock::Acquire("lat0", dir.path());
  EXPECT_TRUE(absl::IsAlreadyExists(second.status())) << second.status();
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(getpid())));
}

TEST(InterfaceLock, AnotherInterfaceHasAnotherLock) {
  TempDir dir;
  const auto first = InterfaceLock::Acquire("lat0", dir.path());
  const auto other = InterfaceLock::Acquire("lat1", dir.path());
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_TRUE(other.ok()) << other.status();
}

TEST(InterfaceLock, IsFreeAgainWithItsHolder) {
  TempDir dir;
  {
    const auto first = InterfaceLock::Acquire("lat0", dir.path());
    ASSERT_TRUE(first.ok()) << first.status();
    EXPECT_EQ(InterfaceLock::Holder("lat0", dir.path()).value(), getpid());
  }
  EXPECT_EQ(InterfaceLock::Holder("lat0", dir.path()).value(), 0);
  EXPECT_TRUE(InterfaceLock::Acquire("lat0", dir.path()).ok());
}

TEST(InterfaceLock, MakesItsFolderAndNobodyHoldsWhatWasNeverLocked) {
  TempDir dir;
  EXPECT_EQ(InterfaceLock::Holder("lat0", dir.File("run")).value(), 0);
  EXPECT_TRUE(InterfaceLock::Acquire("lat0", dir.File("run")).ok());
}

}  // namespace
}  // namespace lattice::datapath
