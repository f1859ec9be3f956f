#include "userspace/wireguard/cookie.h"

#include <algorithm>

#include "gtest/gtest.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/seeded_random.h"
#include "userspace/wireguard/constants.h"

namespace lattice::wireguard {
namespace {

Endpoint At(const char* address, uint16_t port) {
  return {.address = IpAddress::Parse(address).value(), .port = port};
}

// A sender's jar and the receiver's checker, around one message.
class CookieTest : public ::testing::Test {
 protected:
  CookieTest() : random_(1), checker_(receiver_, random_), jar_(receiver_) {
    message_.type.set(1);
    message_.sender.set(7);
  }
  Bytes AddMacs(int64_t now_ns) {
    jar_.AddMacs(MutableBytesOf(message_), now_ns);
    return BytesOf(message_);
  }
  CookieReplyMessage Reply(int64_t now_ns) {
    CookieReplyMessage reply;
    checker_.Reply(BytesOf(message_), 7, from_, now_ns, &reply);
    return reply;
  }

  const PublicKey receiver_ = PointFromHex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  const Endpoint from_ = At("192.0.2.7", 1234);
  SeededRandom random_;
  CookieChecker checker_;
  CookieJar jar_;
  InitiationMessage message_{};
};

TEST_F(CookieTest, Mac1ShowsThatTheSenderKnowsTheReceiver) {
  EXPECT_TRUE(checker_.CheckMac1(AddMacs(0)));
  for (size_t at = 0; at < sizeof message_ - kMacBytes; ++at) {
    InitiationMessage bad = message_;
    MutableBytesOf(bad)[at] ^= 0x80;
    EXPECT_FALSE(checker_.CheckMac1(BytesOf(bad))) << at;
  }
}

TEST_F(CookieTest, WithoutACookieMac2IsZeroAndBad) {
  AddMacs(0);
  EXPECT_TRUE(
      std::all_of(std::begin(message_.macs.mac2), std::end(message_.macs.mac2), [](uint8_t b) { return b == 0; }));
  EXPECT_FALSE(checker_.CheckMac2(BytesOf(message_), from_, 0));
}

TEST_F(CookieTest, ACookieMakesMac2GoodForThatAddressAndPort) {
  AddMacs(0);
  const CookieReplyMessage reply = Reply(0);
  EXPECT_EQ(reply.receiver.get(), 7u);
  ASSERT_TRUE(jar_.Accept(reply, 0));
  const Bytes message = AddMacs(kSecondNs);
  EXPECT_TRUE(checker_.CheckMac1(message));
  EXPECT_TRUE(checker_.CheckMac2(message, from_, kSecondNs));
  EXPECT_FALSE(checker_.CheckMac2(message, At("192.0.2.7", 1235), kSecondNs));
  EXPECT_FALSE(checker_.CheckMac2(message, At("192.0.2.8", 1234), kSecondNs));
  message_.sealed_static[0] ^= 1;
  EXPECT_FALSE(checker_.CheckMac2(BytesOf(message_), from_, kSecondNs));
}

TEST_F(CookieTest, ACookieEndsAfterTwoMinutesOnBothSides) {
  AddMacs(0);
  ASSERT_TRUE(jar_.Accept(Reply(0), 0));
  EXPECT_TRUE(checker_.CheckMac2(AddMacs(kCookieLifeNs - 1), from_, kCookieLifeNs - 1));
  // The receiver has a new secret, the sender no cookie.
  EXPECT_FALSE(checker_.CheckMac2(BytesOf(message_), from_, kCookieLifeNs));
  AddMacs(kCookieLifeNs);
  EXPECT_TRUE(
      std::all_of(std::begin(message_.macs.mac2), std::end(message_.macs.mac2), [](uint8_t b) { return b == 0; }));
}

TEST_F(CookieTest, AReplyIsTakenOnceAndOnlyForTheLastMessage) {
  AddMacs(0);
  const CookieReplyMessage reply = Reply(0);
  for (size_t at = 8; at < sizeof reply; ++at) {
    CookieReplyMessage bad = reply;
    MutableBytesOf(bad)[at] ^= 1;
    EXPECT_FALSE(jar_.Accept(bad, 0)) << at;
  }
  EXPECT_TRUE(jar_.Accept(reply, 0));
  EXPECT_FALSE(jar_.Accept(reply, 0));
  message_.sender.set(8);
  AddMacs(0);
  EXPECT_FALSE(jar_.Accept(reply, 0));
}

TEST_F(CookieTest, AReplyNeedsNoMessageFirst) {
  EXPECT_FALSE(CookieJar(receiver_).Accept(CookieReplyMessage{}, 0));
}

}  // namespace
}  // namespace lattice::wireguard
