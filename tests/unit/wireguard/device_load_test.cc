// Cookies: a device under load answers only who can be reached at the address it claims, and not too often.
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/wireguard/network.h"

namespace lattice::wireguard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DeviceLoadTest : public ::testing::Test {
 protected:
  // Always under load.
  static DeviceOptions Loaded() {
    DeviceOptions options;
    options.handshakes_per_second = 0;
    return options;
  }
  std::vector<MessageType> SentTypes() const {
    std::vector<MessageType> types;
    for (const Datagram& datagram : network_.sent) types.push_back(datagram.type());
    return types;
  }
  Network network_{1};
};

TEST_F(DeviceLoadTest, TheSecondInitiationHasTheCookieAndIsAnswered) {
  Node& a = network_.Add(1);
  Node& b = network_.Add(2, Loaded());
  network_.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  EXPECT_THAT(SentTypes(), ElementsAre(MessageType::kInitiation, MessageType::kCookieReply));
  EXPECT_EQ(a.Count(ReceiveResult::kCookieReply), 1u);
  network_.Run(absl::Seconds(6));
  EXPECT_EQ(b.Count(ReceiveResult::kInitiation), 1u);
  EXPECT_THAT(b.delivered, ElementsAre(Packet4(1, 2, "x")));
}

TEST_F(DeviceLoadTest, BothUnderLoadStillMeet) {
  Node& a = network_.Add(1, Loaded());
  Node& b = network_.Add(2, Loaded());
  network_.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(12));
  EXPECT_THAT(b.delivered, ElementsAre(Packet4(1, 2, "x")));
  EXPECT_EQ(a.Count(ReceiveResult::kCookieSent), 1u);
}

TEST_F(DeviceLoadTest, ACookieIsOfNoUseElsewhere) {
  Node& a = network_.Add(1);
  Node& b = network_.Add(2, Loaded());
  network_.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  a.at.port = 1;  // the same sender behind another port has to ask again
  network_.Run(absl::Seconds(5));
  EXPECT_EQ(b.Count(ReceiveResult::kCookieSent), 2u);
  EXPECT_THAT(b.delivered, IsEmpty());
  network_.Run(absl::Seconds(6));
  EXPECT_EQ(b.delivered.size(), 1u);
}

TEST_F(DeviceLoadTest, AForgedCookieReplyIsRefused) {
  Node& a = network_.Add(1);
  Node& b = network_.Add(2, Loaded());
  network_.Connect(a, b);
  network_.passes = [](const Datagram& datagram) { return datagram.type() != MessageType::kCookieReply; };
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  ASSERT_EQ(network_.sent.size(), 2u);
  std::string reply = network_.sent[1].bytes;
  for (const size_t at : {8u, 31u, 32u, 47u, 63u}) {
    std::string bad = reply;
    bad[at] ^= 1;
    EXPECT_EQ(a.Take(b.at, bad), ReceiveResult::kForged);
  }
  std::string other = reply;
  other[4] ^= 1;
  EXPECT_EQ(a.Take(b.at, other), ReceiveResult::kUnknownIndex);
  EXPECT_EQ(a.Take(b.at, reply), ReceiveResult::kCookieReply);
}

TEST_F(DeviceLoadTest, WithACookieASourceHasItsRate) {
  Node& a = network_.Add(1);
  Node& b = network_.Add(2, Loaded());
  network_.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(6));
  std::string good;
  for (const Datagram& datagram : network_.sent) {
    if (datagram.type() == MessageType::kInitiation) good = datagram.bytes;
  }
  // The same again is old, but that it was looked into cost what the limit is there for.
  int looked_into = 0, limited = 0;
  for (int i = 0; i < 100; ++i) {
    const ReceiveResult result = b.Take(a.at, good);
    looked_into += result == ReceiveResult::kOldInitiation;
    limited += result == ReceiveResult::kRateLimited;
  }
  EXPECT_EQ(looked_into + limited, 100);
  EXPECT_LE(looked_into, SourceLimiter::kBurst);
}

TEST_F(DeviceLoadTest, TheMeasureTurnsCookiesOnAndOff) {
  DeviceOptions options;
  options.handshakes_per_second = 3;
  Node& b = network_.Add(2, options);
  std::string initiation;
  Node& a = network_.Add(1);
  network_.Connect(a, b);
  a.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  initiation = network_.sent.front().bytes;
  network_.Run(absl::Seconds(2));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(b.Take(a.at, initiation), ReceiveResult::kOldInitiation);
  EXPECT_EQ(b.Take(a.at, initiation), ReceiveResult::kCookieSent);
  // Those who do not know our key do not count.
  std::string stranger = initiation;
  stranger[120] ^= 1;
  network_.Run(absl::Seconds(3));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(b.Take(a.at, stranger), ReceiveResult::kBadMac1);
  EXPECT_EQ(b.Take(a.at, initiation), ReceiveResult::kOldInitiation);
}

}  // namespace
}  // namespace lattice::wireguard
