#include "userspace/wireguard/allowed_ips.h"

#include <map>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/seed.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

IpPrefix Prefix(const char* text) {
  return IpPrefix::Parse(text).value();
}
IpAddress Ip(const char* text) {
  return IpAddress::Parse(text).value();
}

TEST(AllowedIps, TheLongestPrefixWins) {
  AllowedIps ips;
  EXPECT_EQ(ips.Find(Ip("192.0.2.1")), kNoPeer);
  ips.Insert(Prefix("0.0.0.0/0"), 1);
  ips.Insert(Prefix("192.0.2.0/24"), 2);
  ips.Insert(Prefix("192.0.2.128/25"), 3);
  ips.Insert(Prefix("192.0.2.129/32"), 4);
  EXPECT_EQ(ips.Find(Ip("198.51.100.1")), 1u);
  EXPECT_EQ(ips.Find(Ip("192.0.2.1")), 2u);
  EXPECT_EQ(ips.Find(Ip("192.0.2.130")), 3u);
  EXPECT_EQ(ips.Find(Ip("192.0.2.129")), 4u);
}

TEST(AllowedIps, FamiliesAreApart) {
  AllowedIps ips;
  ips.Insert(Prefix("0.0.0.0/0"), 1);
  EXPECT_EQ(ips.Find(Ip("2001:db8::1")), kNoPeer);
  ips.Insert(Prefix("::/0"), 2);
  ips.Insert(Prefix("2001:db8::/32"), 3);
  ips.Insert(Prefix("2001:db8::1/128"), 4);
  EXPECT_EQ(ips.Find(Ip("192.0.2.1")), 1u);
  EXPECT_EQ(ips.Find(Ip("::1")), 2u);
  EXPECT_EQ(ips.Find(Ip("2001:db8::2")), 3u);
  EXPECT_EQ(ips.Find(Ip("2001:db8::1")), 4u);
}

TEST(AllowedIps, APrefixMovesToThePeerThatGetsItLast) {
  AllowedIps ips;
  ips.Insert(Prefix("192.0.2.0/24"), 1);
  ips.Insert(Prefix("192.0.2.0/24"), 2);
  EXPECT_EQ(ips.Find(Ip("192.0.2.1")), 2u);
  EXPECT_THAT(ips.PrefixesOf(1), IsEmpty());
  EXPECT_THAT(ips.PrefixesOf(2), ElementsAre(Prefix("192.0.2.0/24")));
}

TEST(AllowedIps, AForkBecomesAPrefixAndAForkAgain) {
  AllowedIps ips;
  ips.Insert(Prefix("10.0.0.0/16"), 1);
  ips.Insert(Prefix("10.1.0.0/16"), 2);
  ips.Insert(Prefix("10.0.0.0/15"), 3);  // where the two part
  ips.RemovePeer(3);
  EXPECT_EQ(ips.Find(Ip("10.0.0.1")), 1u);
  EXPECT_EQ(ips.Find(Ip("10.1.0.1")), 2u);
  EXPECT_EQ(ips.Find(Ip("10.2.0.1")), kNoPeer);
}

// A map walked from the longest to the shortest prefix.
TEST(AllowedIps, AgreesWithAListOnRandomPrefixes) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 50; ++round) {
    AllowedIps ips;
    std::map<IpPrefix, PeerSlot> all;
    const auto address = [&](bool v4) {
      // Few distinct bits at both ends, so that prefixes nest and part everywhere.
      std::array<uint8_t, 16> bytes{};
      for (const int at : {0, 1, 7, 8, 15}) bytes[at] = static_cast<uint8_t>(random() & random() & 0xff);
      return v4 ? IpAddress::FromV4({bytes[0], bytes[1], bytes[7], bytes[15]}) : IpAddress::FromBytes(bytes.data());
    };
    for (int i = 0; i < 300; ++i) {
      const bool v4 = random() % 2 == 0;
      const auto peer = static_cast<PeerSlot>(random() % 8);
      if (random() % 40 == 0) {
        ips.RemovePeer(peer);
        std::erase_if(all, [&](const auto& entry) { return entry.second == peer; });
      } else {
        const IpPrefix prefix(address(v4), static_cast<int>(random() % (v4 ? 33 : 129)));
        ips.Insert(prefix, peer);
        all[prefix] = peer;
      }
      const IpAddress probe = address(v4);
      PeerSlot want = kNoPeer;
      int longest = -1;
      for (const auto& [prefix, owner] : all) {
        if (prefix.Contains(probe) && prefix.length() > longest) want = owner, longest = prefix.length();
      }
      ASSERT_EQ(ips.Find(probe), want) << probe.ToString();
    }
    size_t listed = 0;
    for (PeerSlot peer = 0; peer < 8; ++peer) {
      for (const IpPrefix& prefix : ips.PrefixesOf(peer)) {
        ASSERT_EQ(all.at(prefix), peer) << prefix.ToString();
        ++listed;
      }
    }
    ASSERT_EQ(listed, all.size());
  }
}

}  // namespace
}  // namespace lattice::wireguard
