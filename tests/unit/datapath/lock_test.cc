#include "userspace/datapath/lock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::datapath {
namespace {

using lattice::testing::TempDir;
using ::testing::HasSubstr;

TEST(InterfaceLock, SecondHolderIsRefusedAndToldTheFirstOnesPid) {
  TempDir dir;
  const auto first = InterfaceLock::Acquire("lat0", dir.path());
  ASSERT_TRUE(first.ok()) << first.status();
  // The lock is between open files, so a second one in this process is as good as one of another process.
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

TEST(InterfaceLock, NobodyElseCanOpenItsFileAlsoOneThatWasThere) {
  TempDir dir;
  const std::string path = dir.File("dp-lat0.lock");
  ASSERT_TRUE(WriteFileAtomically(path, "", 0644).ok());
  const auto lock = InterfaceLock::Acquire("lat0", dir.path());
  ASSERT_TRUE(lock.ok()) << lock.status();
  struct stat st;
  ASSERT_EQ(stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST(InterfaceLock, WhoAsksForTheHolderStandsInNobodysWay) {
  TempDir dir;
  { ASSERT_TRUE(InterfaceLock::Acquire("lat0", dir.path()).ok()); }  // the file is there now
  std::atomic<bool> stop{false};
  std::thread asking([&] {
    while (!stop) EXPECT_TRUE(InterfaceLock::Holder("lat0", dir.path()).ok());
  });
  for (int i = 0; i < 3000; ++i) {
    const auto lock = InterfaceLock::Acquire("lat0", dir.path());
    EXPECT_TRUE(lock.ok()) << lock.status();
    if (!lock.ok()) break;
  }
  stop = true;
  asking.join();
}

TEST(InterfaceLock, OfTheSameInterfaceInOtherNamespacesIsFound) {
  TempDir dir;
  const auto own = InterfaceLock::Acquire("lat0", dir.path());
  ASSERT_TRUE(own.ok()) << own.status();
  EXPECT_EQ(InterfaceLock::HolderElsewhere("lat0", dir.path()).value(), 0) << "our own is not elsewhere";
  auto ns = lattice::testing::NetNamespace::Create("lock");
  ASSERT_TRUE(ns.ok()) << ns.status();
  (*ns)->Run([&] {
    const auto other = InterfaceLock::Acquire("lat0", dir.path());
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(InterfaceLock::HolderElsewhere("lat0", dir.path()).value(), getpid());
  });
  const auto longer = InterfaceLock::Acquire("lat01", dir.path());
  EXPECT_EQ(InterfaceLock::HolderElsewhere("lat0", dir.path()).value(), 0);
}

TEST(InterfaceLock, MakesItsFolderAndNobodyHoldsWhatWasNeverLocked) {
  TempDir dir;
  EXPECT_EQ(InterfaceLock::Holder("lat0", dir.File("run")).value(), 0);
  EXPECT_TRUE(InterfaceLock::Acquire("lat0", dir.File("run")).ok());
}

}  // namespace
}  // namespace lattice::datapath
