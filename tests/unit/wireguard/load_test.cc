#include "userspace/wireguard/load.h"

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "userspace/wireguard/constants.h"

namespace lattice::wireguard {
namespace {

IpAddress Ip(const std::string& text) {
  return IpAddress::Parse(text).value();
}

TEST(LoadMeter, SwitchesOnBeyondTheRateAndOffAfterAQuietSecond) {
  LoadMeter meter(10);
  int64_t now = 5 * kSecondNs;
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(meter.Count(now)) << i;
  EXPECT_TRUE(meter.Count(now));
  // The next second stays loaded whatever comes, because the one before was.
  now += kSecondNs;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(meter.Count(now + i));
  now += kSecondNs;
  EXPECT_FALSE(meter.Count(now));
}

TEST(LoadMeter, ALongPauseEndsTheLoad) {
  LoadMeter meter(1);
  meter.Count(0);
  EXPECT_TRUE(meter.Count(1));
  EXPECT_FALSE(meter.Count(10 * kSecondNs));
}

TEST(LoadMeter, ZeroIsAlwaysLoaded) {
  EXPECT_TRUE(LoadMeter(0).Count(0));
}

TEST(SourceLimiter, GivesABurstAndThenTheRate) {
  SourceLimiter limiter(100);
  int64_t now = kSecondNs;
  for (int i = 0; i < SourceLimiter::kBurst; ++i) EXPECT_TRUE(limiter.Admit(Ip("192.0.2.1"), now));
  EXPECT_FALSE(limiter.Admit(Ip("192.0.2.1"), now));
  EXPECT_TRUE(limiter.Admit(Ip("192.0.2.2"), now)) << "another source has its own";
  int admitted = 0;
  for (int i = 0; i < 1000; ++i) admitted += limiter.Admit(Ip("192.0.2.1"), now + i * kSecondNs / 1000);
  EXPECT_EQ(admitted, SourceLimiter::kPerSecond - 1);
}

TEST(SourceLimiter, AnIpv6NetworkIsOneSource) {
  SourceLimiter limiter(100);
  for (int i = 0; i < SourceLimiter::kBurst; ++i) EXPECT_TRUE(limiter.Admit(Ip(absl::StrCat("2001:db8::", i)), 0));
  EXPECT_FALSE(limiter.Admit(Ip("2001:db8::ffff:1"), 0));
  EXPECT_TRUE(limiter.Admit(Ip("2001:db8:0:1::1"), 0));
}

TEST(SourceLimiter, TheTableIsBoundedAndForgetsTheIdle) {
  SourceLimiter limiter(10);
  const int64_t now = 100 * kSecondNs;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(limiter.Admit(IpAddress::FromV4(0x0a000000 + i), now));
  EXPECT_FALSE(limiter.Admit(Ip("192.0.2.1"), now)) << "all ten are active";
  EXPECT_EQ(limiter.sources(), 10u);
  EXPECT_TRUE(limiter.Admit(Ip("192.0.2.1"), now + kSecondNs));
  EXPECT_EQ(limiter.sources(), 1u);
}

}  // namespace
}  // namespace lattice::wireguard
