// Each timer of the paper's section 6, on a clock that jumps.
#include <algorithm>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/seed.h"
#include "tests/unit/wireguard/hex.h"
#include "tests/unit/wireguard/network.h"
#include "userspace/wireguard/constants.h"

namespace lattice::wireguard {

struct DeviceTestAccess {
  static Keypair& Current(Device& device) { return *device.peers_.at(0)->current; }
};

namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class DeviceTimersTest : public ::testing::Test {
 protected:
  DeviceTimersTest() : network_(testing::TestSeed()), a_(network_.Add(1)), b_(network_.Add(2)) {
    network_.passes = [this](const Datagram& datagram) {
      (datagram.from == a_.at ? sent_by_a_ : sent_by_b_).push_back({network_.now_ns(), datagram});
      return path_ok_;
    };
  }
  struct Sent {
    int64_t at_ns;
    Datagram datagram;
  };
  // A session that `a` began, used by `a` alone so far.
  void Establish() {
    network_.Connect(a_, b_);
    a_.SendPacket(Packet4(1, 2, "first"));
    network_.Run(absl::Milliseconds(100));
    ASSERT_TRUE(a_.Peer().has_session);
    ASSERT_TRUE(b_.Peer().has_session);
    Forget();
  }
  void Forget() {
    sent_by_a_.clear();
    sent_by_b_.clear();
  }
  static int CountOf(const std::vector<Sent>& sent, MessageType type) {
    return static_cast<int>(
        std::count_if(sent.begin(), sent.end(), [&](const Sent& one) { return one.datagram.type() == type; }));
  }
  static bool IsKeepalive(const Sent& sent) {
    return sent.datagram.type() == MessageType::kData && sent.datagram.bytes.size() == kDataOverhead;
  }

  Network network_;
  Node& a_;
  Node& b_;
  bool path_ok_ = true;
  std::vector<Sent> sent_by_a_, sent_by_b_;
};

TEST_F(DeviceTimersTest, InitiationsAreRepeatedWithJitterAndGivenUpAfter90Seconds) {
  network_.Connect(a_, b_);
  path_ok_ = false;
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(400));
  ASSERT_GE(sent_by_a_.size(), 17u);
  EXPECT_LE(sent_by_a_.size(), 19u);
  std::vector<int64_t> gaps;
  for (size_t i = 1; i < sent_by_a_.size(); ++i) {
    gaps.push_back(sent_by_a_[i].at_ns - sent_by_a_[i - 1].at_ns);
    EXPECT_NE(sent_by_a_[i].datagram.bytes, sent_by_a_[0].datagram.bytes);
  }
  EXPECT_THAT(gaps, Each(::testing::AllOf(::testing::Ge(kRekeyTimeoutNs),
                                          ::testing::Le(kRekeyTimeoutNs + kMaxJitterMs * (kSecondNs / 1000)))));
  EXPECT_NE(*std::min_element(gaps.begin(), gaps.end()), *std::max_element(gaps.begin(), gaps.end()));
  EXPECT_LT(sent_by_a_.back().at_ns - sent_by_a_.front().at_ns, kRekeyAttemptNs);
  EXPECT_EQ(a_.events.back(), PeerEvent::kHandshakeGaveUp);
  EXPECT_EQ(std::count(a_.events.begin(), a_.events.end(), PeerEvent::kHandshakeRetried),
            static_cast<long>(sent_by_a_.size()) - 1);
  EXPECT_EQ(a_.device().counters().handshakes_given_up, 1u);
  EXPECT_EQ(a_.Peer().staged_dropped, 1u);
  // The next packet begins again, and the dropped one stays dropped.
  path_ok_ = true;
  a_.SendPacket(Packet4(1, 2, "y"));
  network_.Run(absl::Seconds(1));
  EXPECT_THAT(b_.delivered, ElementsAre(Packet4(1, 2, "y")));
}

TEST_F(DeviceTimersTest, APacketGivesTheAttemptsTheirFullTimeAgain) {
  network_.Connect(a_, b_);
  path_ok_ = false;
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(80));
  a_.SendPacket(Packet4(1, 2, "y"));
  network_.Run(absl::Seconds(80));
  EXPECT_EQ(a_.device().counters().handshakes_given_up, 0u);
  path_ok_ = true;
  network_.Run(absl::Seconds(6));
  EXPECT_EQ(b_.delivered.size(), 2u);
}

TEST_F(DeviceTimersTest, PacketsWithoutASessionWaitUpToABound) {
  network_.Connect(a_, b_);
  path_ok_ = false;
  const size_t extra = 10;
  for (size_t i = 0; i < StagedQueue::kMaxPackets + extra; ++i) {
    EXPECT_EQ(a_.SendPacket(Packet4(1, 2, std::string(1, static_cast<char>(i)))), SealResult::kStaged);
  }
  EXPECT_EQ(sent_by_a_.size(), 1u) << "one initiation for all";
  EXPECT_EQ(a_.device().counters().staged_dropped, extra);
  path_ok_ = true;
  network_.Run(absl::Seconds(6));
  ASSERT_EQ(b_.delivered.size(), StagedQueue::kMaxPackets);
  EXPECT_EQ(b_.delivered.front(), Packet4(1, 2, std::string(1, static_cast<char>(extra)))) << "the oldest went";
}

TEST_F(DeviceTimersTest, WhoOnlyReceivesSendsAKeepaliveAfterTenSeconds) {
  Establish();
  network_.Run(absl::Seconds(30));
  Forget();
  const int64_t sent = network_.now_ns();
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(60));
  ASSERT_EQ(sent_by_b_.size(), 1u);
  EXPECT_TRUE(IsKeepalive(sent_by_b_[0]));
  EXPECT_EQ(sent_by_b_[0].at_ns - sent, kKeepaliveNs + absl::ToInt64Nanoseconds(network_.faults.delay));
  EXPECT_EQ(sent_by_a_.size(), 1u) << "a keepalive is not answered, and shows that the session lives";
}

TEST_F(DeviceTimersTest, DataWhileAKeepaliveIsDueBringsAnother) {
  Establish();
  network_.Run(absl::Seconds(30));
  Forget();
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(5));
  a_.SendPacket(Packet4(1, 2, "y"));
  network_.Run(absl::Seconds(60));
  ASSERT_EQ(sent_by_b_.size(), 2u);
  EXPECT_TRUE(IsKeepalive(sent_by_b_[0]));
  EXPECT_TRUE(IsKeepalive(sent_by_b_[1]));
  EXPECT_EQ(sent_by_b_[1].at_ns - sent_by_b_[0].at_ns, kKeepaliveNs);
}

TEST_F(DeviceTimersTest, AnAnswerMakesTheKeepaliveNeedless) {
  Establish();
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(1));
  b_.SendPacket(Packet4(2, 1, "y"));
  network_.Run(absl::Seconds(60));
  EXPECT_EQ(sent_by_b_.size(), 1u);
}

TEST_F(DeviceTimersTest, AnAnswerAlsoSettlesTheKeepaliveAfterIt) {
  Establish();
  a_.SendPacket(Packet4(1, 2, "x"));
  a_.SendPacket(Packet4(1, 2, "y"));
  network_.Run(absl::Seconds(1));
  b_.SendPacket(Packet4(2, 1, "answer"));
  network_.Run(absl::Seconds(1));
  a_.SendPacket(Packet4(1, 2, "z"));
  Forget();
  network_.Run(absl::Seconds(60));
  EXPECT_EQ(sent_by_b_.size(), 1u) << "one for z, none for what was answered";
}

TEST_F(DeviceTimersTest, WithoutAnAnswerToDataAHandshakeBegins) {
  Establish();
  network_.Run(absl::Seconds(30));
  Forget();
  path_ok_ = false;
  const int64_t sent = network_.now_ns();
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(8));
  a_.SendPacket(Packet4(1, 2, "y"));  // the time runs from the first
  network_.Run(absl::Seconds(8));
  ASSERT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 1);
  const int64_t waited = sent_by_a_.back().at_ns - sent;
  EXPECT_GE(waited, kKeepaliveNs + kRekeyTimeoutNs);
  EXPECT_LE(waited, kKeepaliveNs + kRekeyTimeoutNs + kMaxJitterMs * (kSecondNs / 1000));
}

TEST_F(DeviceTimersTest, TheInitiatorRenewsASessionOf120SecondsWhenItSends) {
  Establish();
  network_.Run(absl::Seconds(119));
  a_.SendPacket(Packet4(1, 2, "x"));
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 0);
  network_.Run(absl::Seconds(2));
  b_.SendPacket(Packet4(2, 1, "the responder does not"));
  EXPECT_EQ(CountOf(sent_by_b_, MessageType::kInitiation), 0);
  EXPECT_EQ(a_.SendPacket(Packet4(1, 2, "y")), SealResult::kSealed) << "under the old keys meanwhile";
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 1);
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(a_.device().counters().sessions, 2u);
  EXPECT_EQ(b_.delivered.back(), Packet4(1, 2, "y"));
}

TEST_F(DeviceTimersTest, TheInitiatorRenewsASessionOf165SecondsWhenItOnlyReceives) {
  Establish();
  network_.Run(absl::Seconds(164));
  b_.SendPacket(Packet4(2, 1, "x"));
  network_.Run(absl::Milliseconds(100));
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 0);
  network_.Run(absl::Seconds(1));
  b_.SendPacket(Packet4(2, 1, "y"));
  b_.SendPacket(Packet4(2, 1, "z"));
  network_.Run(absl::Milliseconds(100));
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 1);
  EXPECT_EQ(a_.delivered.size(), 3u);
}

TEST_F(DeviceTimersTest, KeysOf180SecondsAreNeitherUsedNorTaken) {
  Establish();
  network_.Run(absl::Seconds(170));
  SendBatch batch;
  const std::string packet = Packet4(1, 2, "kept back");
  ASSERT_EQ(a_.device().Seal(AsBytes(packet), batch, network_.now_ns()), SealResult::kSealed);
  path_ok_ = false;
  network_.Run(absl::Seconds(11));
  EXPECT_EQ(b_.Take(a_.at, std::string(batch.bytes().begin(), batch.bytes().end())), ReceiveResult::kExpiredKey);
  EXPECT_EQ(a_.SendPacket(packet), SealResult::kStaged);
  EXPECT_EQ(b_.SendPacket(Packet4(2, 1, "x")), SealResult::kStaged);
}

TEST_F(DeviceTimersTest, KeysAreZeroedAfterNineMinutesAndThenNothingIsDue) {
  Establish();
  network_.Run(absl::Seconds(538));
  EXPECT_TRUE(a_.Peer().has_session);
  network_.Run(absl::Seconds(3));
  EXPECT_FALSE(a_.Peer().has_session);
  EXPECT_FALSE(b_.Peer().has_session);
  EXPECT_EQ(a_.device().next_deadline_ns(), kNever);
  EXPECT_EQ(b_.device().next_deadline_ns(), kNever);
  a_.SendPacket(Packet4(1, 2, "again"));
  network_.Run(absl::Seconds(1));
  EXPECT_EQ(b_.delivered.back(), Packet4(1, 2, "again"));
}

TEST_F(DeviceTimersTest, AFailedHandshakeAlsoEndsWithNothingDue) {
  network_.Connect(a_, b_);
  path_ok_ = false;
  a_.SendPacket(Packet4(1, 2, "x"));
  network_.Run(absl::Seconds(90 + 6 + 541));
  EXPECT_EQ(a_.device().next_deadline_ns(), kNever);
}

TEST_F(DeviceTimersTest, PersistentKeepalivesBeginTheHandshakeAndGoOn) {
  network_.Connect(a_, b_, {}, /*a_keepalive_s=*/25);
  ASSERT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 1) << "at once";
  network_.Run(absl::Seconds(1));
  EXPECT_TRUE(b_.Peer().has_session);
  Forget();
  network_.Run(absl::Seconds(101));
  ASSERT_EQ(sent_by_a_.size(), 4u);
  for (size_t i = 1; i < sent_by_a_.size(); ++i) {
    EXPECT_TRUE(IsKeepalive(sent_by_a_[i]));
    EXPECT_EQ(sent_by_a_[i].at_ns - sent_by_a_[i - 1].at_ns, 25 * kSecondNs);
  }
  EXPECT_THAT(sent_by_b_, IsEmpty());
  // Any traffic starts the interval anew.
  network_.Run(absl::Seconds(20));
  Forget();
  b_.SendPacket(Packet4(2, 1, "x"));
  const int64_t at = network_.now_ns();
  network_.Run(absl::Seconds(40));
  ASSERT_FALSE(sent_by_a_.empty());
  EXPECT_GE(sent_by_a_.front().at_ns - at, kKeepaliveNs);
}

TEST_F(DeviceTimersTest, PersistentKeepalivesOutliveADeadPath) {
  network_.Connect(a_, b_, {}, /*a_keepalive_s=*/25);
  network_.Run(absl::Seconds(1));
  path_ok_ = false;
  network_.Run(absl::Hours(1));
  path_ok_ = true;
  network_.Run(absl::Seconds(40));
  const absl::Time last = b_.Peer().last_handshake;
  EXPECT_GT(last, network_.clock.Now() - absl::Seconds(41));
  // And can be switched off.
  ASSERT_TRUE(a_.device().SetPeer({.public_key = b_.key()}, network_.now_ns()).ok());
  network_.Run(absl::Seconds(600));
  EXPECT_EQ(a_.device().next_deadline_ns(), kNever);
}

TEST_F(DeviceTimersTest, ASessionIsRenewedAndEndedByItsMessages) {
  Establish();
  network_.Run(absl::Seconds(10));
  Forget();
  Keypair& keys = DeviceTestAccess::Current(a_.device());
  keys.sent = kRekeyAfterMessages - 1;
  a_.SendPacket(Packet4(1, 2, "x"));
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 0);
  path_ok_ = false;
  a_.SendPacket(Packet4(1, 2, "y"));
  EXPECT_EQ(CountOf(sent_by_a_, MessageType::kInitiation), 1);
  keys.sent = kRejectAfterMessages - 1;
  EXPECT_EQ(a_.SendPacket(Packet4(1, 2, "the last")), SealResult::kSealed);
  EXPECT_EQ(a_.SendPacket(Packet4(1, 2, "too late")), SealResult::kStaged);
  const std::string last = sent_by_a_.back().datagram.bytes;
  EXPECT_EQ(b_.Take(a_.at, last), ReceiveResult::kDelivered);
  std::string beyond = last;
  for (size_t i = 8; i < 16; ++i) beyond[i] = '\xff';
  EXPECT_EQ(b_.Take(a_.at, beyond), ReceiveResult::kExpiredKey);
}

TEST_F(DeviceTimersTest, TheResponderRenewsByMessagesToo) {
  Establish();
  network_.Run(absl::Seconds(10));
  DeviceTestAccess::Current(b_.device()).sent = kRekeyAfterMessages;
  b_.SendPacket(Packet4(2, 1, "x"));
  EXPECT_EQ(CountOf(sent_by_b_, MessageType::kInitiation), 1);
}

}  // namespace
}  // namespace lattice::wireguard
