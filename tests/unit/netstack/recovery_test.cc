// Retransmission: RFC 6298, RACK-TLP of RFC 8985, SACK of RFC 2018, duplicate ACKs of RFC 5681, Eifel of RFC 3522.
#include "tests/unit/netstack/harness.h"

namespace lattice::netstack {
namespace {

constexpr size_t kMss = 1368;

std::string Data(size_t segments) {
  return std::string(segments * kMss, 'd');
}

// Established, with a round trip of 20 ms known and pacing too fast to show.
struct Recovery : ::testing::Test {
  explicit Recovery(PeerTraits traits = {}) : h(traits, {.congestion = Congestion::kCubic}) {
    h.StartConnect();
    h.Advance(20 * kMillisecond);
    h.SynAck();
    h.Take();
    start = h.peer_ack;
  }
  // Sequence number of segment i of what is written next.
  uint32_t At(size_t i) const { return start + static_cast<uint32_t>(i * kMss); }
  SackBlock Sack(size_t from, size_t to) const { return {At(from), At(to)}; }
  std::vector<uint32_t> Sent() {
    std::vector<uint32_t> segments;
    for (const Segment& s : h.Take()) {
      if (!s.payload.empty()) segments.push_back((s.seq - start) / static_cast<uint32_t>(kMss));
    }
    return segments;
  }
  Harness h;
  uint32_t start = 0;
};

using Numbers = std::vector<uint32_t>;

TEST_F(Recovery, InitialWindowIsTenSegmentsOfEqualSize) {
  h.Write(Data(20));
  const std::vector<Segment> sent = h.Take();
  ASSERT_EQ(sent.size(), 10u);
  for (const Segment& s : sent) EXPECT_EQ(s.payload.size(), kMss);
}

TEST_F(Recovery, TimeoutDoublesAndIsGivenUp) {
  h.Write("x");
  h.Take();
  std::vector<int64_t> times;
  int64_t begin = h.now;
  while (h.ended == CloseReason::kNone && times.size() < 50) {
    h.Advance(10 * kMillisecond);
    for (const Segment& s : h.Take()) {
      if (s.payload == "x") times.push_back(h.now - begin);
    }
  }
  EXPECT_EQ(h.ended, CloseReason::kTimeout);
  ASSERT_GT(times.size(), 6u);
  // The first is the probe of the tail; from the second on each pause is twice the one before, up to a minute.
  for (size_t i = 3; i < times.size(); ++i) {
    const int64_t pause = times[i] - times[i - 1], before = times[i - 1] - times[i - 2];
    EXPECT_NEAR(static_cast<double>(pause), static_cast<double>(std::min(2 * before, 60 * kSecond)), 2e7) << i;
  }
  EXPECT_NEAR(static_cast<double>(h.now - begin), 180e9, 61e9);
}

TEST_F(Recovery, RackFindsAHoleAfterThreeSegments) {
  h.Write(Data(10));
  EXPECT_EQ(Sent().size(), 10u);
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 4)}});
  EXPECT_EQ(Sent(), (Numbers{0}));
}

TEST_F(Recovery, RackBearsWithReorderingOfOneSegment) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 2)}});
  h.None();
  h.Advance(2 * kMillisecond);
  h.Peer({.ack = At(2)});
  h.Advance(20 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{})) << "the late segment had come";
  EXPECT_EQ(h.counters().segments_retransmitted, 0u);
}

TEST_F(Recovery, RackTimerFindsTheHoleWithoutMoreAcks) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 2)}});
  h.Advance(5 * kMillisecond + kMillisecond);  // a quarter of the round trip
  EXPECT_EQ(Sent(), (Numbers{0}));
}

TEST_F(Recovery, OnlyHolesAreSentAgain) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(1), .sack = {Sack(8, 9), Sack(5, 7), Sack(2, 4)}});
  h.Advance(20 * kMillisecond);
  Numbers again = Sent();
  std::sort(again.begin(), again.end());
  EXPECT_EQ(again, (Numbers{1, 4, 7})) << "and not what was acknowledged, nor the last, of which nothing is known";
}

TEST_F(Recovery, LostRetransmissionIsFoundByWhatWasSentAfterIt) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 8)}});
  EXPECT_EQ(Sent(), (Numbers{0}));
  h.Write(Data(4));
  h.Advance(15 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{10, 11, 12, 13}));
  h.Advance(10 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 14)}});
  h.Advance(10 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{0})) << "a second time, long before the timeout";
  EXPECT_EQ(h.counters().timeouts, 0u);
}

TEST_F(Recovery, TailLossIsProbed) {
  h.Write(Data(3));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(1)});
  h.Advance(60 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{2})) << "the last segment, after two round trips";
  EXPECT_EQ(h.counters().tail_probes, 1u);
  h.Peer({.ack = At(1), .sack = {Sack(2, 3)}});
  h.Advance(20 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{1})) << "its answer shows the hole";
  EXPECT_EQ(h.counters().timeouts, 0u);
}

TEST_F(Recovery, ProbeOfTheTailIsNewDataIfThereIsSome) {
  h.Write(Data(12));
  EXPECT_EQ(Sent().size(), 10u);
  h.Advance(60 * kMillisecond);
  EXPECT_EQ(Sent(), (Numbers{10}));
}

TEST_F(Recovery, TimeoutSendsAllThatIsMissingAgain) {
  h.Write(Data(4));
  Sent();
  h.Advance(600 * kMillisecond);
  EXPECT_GE(h.counters().timeouts, 1u);
  Sent();
  h.Peer({.ack = At(1)});
  h.Advance(kMillisecond);
  const Numbers again = Sent();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], 1u);
}

TEST_F(Recovery, SpuriousTimeoutIsUndoneByTimestamps) {
  h.Write(Data(10));
  const uint32_t stamp = h.last_timestamp;
  Sent();
  const uint64_t window = h.connection->congestion().window();
  // The path stalls for longer than the timer; then the ACKs of the first copies come.
  h.Advance(400 * kMillisecond);
  ASSERT_GE(h.counters().timeouts, 1u);
  ASSERT_LT(h.connection->congestion().window(), window);
  Sent();
  h.Peer({.ack = At(2), .echo = stamp});
  EXPECT_EQ(h.counters().spurious_timeouts, 1u);
  EXPECT_GE(h.connection->congestion().window(), window);
  h.Advance(10 * kMillisecond);
  for (const uint32_t again : Sent())
    EXPECT_EQ(again, 9u) << "but for a probe of the tail, the others are on their way";
}

TEST_F(Recovery, TrueTimeoutIsNotUndone) {
  h.Write(Data(10));
  Sent();
  h.Advance(400 * kMillisecond);
  ASSERT_GE(h.counters().timeouts, 1u);
  h.Peer({.ack = At(2)});  // echoes the copy
  EXPECT_EQ(h.counters().spurious_timeouts, 0u);
}

TEST_F(Recovery, SacksTakenBackCountNoMoreAfterATimeout) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(0), .sack = {Sack(1, 10)}});
  Sent();
  h.Peer({.ack = At(1)});  // and of the SACKed nothing: the peer threw it away
  h.Advance(2 * kSecond);
  const Numbers again = Sent();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], 1u);
}

TEST_F(Recovery, NoRoundTripIsTakenFromARepeatedSegment) {  // Karn
  const int64_t before = h.connection->rtt_ns();
  h.Write("x");
  h.Advance(2 * kSecond);
  h.Take();
  h.Peer({.ack = h.peer_ack});
  EXPECT_EQ(h.connection->rtt_ns(), before);
}

struct RecoveryWithoutSack : Recovery {
  RecoveryWithoutSack() : Recovery({.sack = false}) {}
};

TEST_F(RecoveryWithoutSack, ThirdDuplicateAckSendsAgain) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(1)});
  Sent();
  h.Peer({.ack = At(1)});
  h.Peer({.ack = At(1)});
  EXPECT_EQ(Sent(), (Numbers{}));
  h.Peer({.ack = At(1)});
  EXPECT_EQ(Sent(), (Numbers{1}));
}

TEST_F(RecoveryWithoutSack, PartialAckSendsTheNextHole) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  for (int i = 0; i < 5; ++i) h.Peer({.ack = At(0)});
  Sent();
  h.Advance(20 * kMillisecond);
  h.Peer({.ack = At(4)});
  const Numbers again = Sent();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], 4u);
  EXPECT_EQ(h.counters().timeouts, 0u);
}

TEST_F(RecoveryWithoutSack, WindowUpdatesAreNoDuplicates) {
  h.Write(Data(10));
  Sent();
  h.Advance(20 * kMillisecond);
  for (uint16_t i = 0; i < 6; ++i) h.Peer({.ack = At(0), .window = static_cast<uint16_t>(60000 + i)});
  EXPECT_EQ(Sent(), (Numbers{}));
}

}  // namespace
}  // namespace lattice::netstack
