#include "userspace/base/net_device.h"

#include <gtest/gtest.h>
#include <net/if_arp.h>

namespace lattice {
namespace {

TEST(NetDevice, IsFoundByName) {
  const auto lo = LookupNetDevice("lo");
  ASSERT_TRUE(lo.ok()) << lo.status();
  EXPECT_EQ(lo->ifindex, 1);
  EXPECT_EQ(lo->type, ARPHRD_LOOPBACK);
  EXPECT_GT(lo->mtu, 0);
}

TEST(NetDevice, IsToldFromWhatCannotBeOne) {
  EXPECT_TRUE(absl::IsNotFound(LookupNetDevice("lat-t-none").status()));
  for (const char* name : {"", ".", "..", "a/b", "a b", "a:b", "sixteen-byte-long"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(LookupNetDevice(name).status())) << name;
  }
}

TEST(L2HeaderBytes, AreKnownForWhatWeParseOnly) {
  EXPECT_EQ(*L2HeaderBytes(ARPHRD_NONE), 0u);
  EXPECT_EQ(*L2HeaderBytes(ARPHRD_ETHER), 14u);
  EXPECT_TRUE(absl::IsInvalidArgument(L2HeaderBytes(ARPHRD_INFINIBAND).status()));
}

TEST(NetNamespace, IsOneAndTheSameWhileWeStay) {
  const auto first = CurrentNetNamespace(), second = CurrentNetNamespace();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_NE(first->inode, 0u);
  EXPECT_EQ(first->inode, second->inode);
  EXPECT_EQ(first->cookie, second->cookie);
}

}  // namespace
}  // namespace lattice
