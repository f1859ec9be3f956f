// Sending: the peer's window and its probes (RFC 9293 3.8.6), Nagle (3.7.4), keepalive (3.8.4), bursts, back pressure.
#include "tests/unit/netstack/harness.h"

namespace lattice::netstack {
namespace {

constexpr size_t kMss = 1368;

TEST(Send, PeersWindowIsKept) {
  Harness h({.scaling = false});
  h.StartConnect();
  h.Peer({.flags = kSyn | kAck, .window = 3000});
  h.Take();
  h.Write(std::string(10000, 'x'));
  size_t sent = 0;
  for (const Segment& s : h.Take()) sent += s.payload.size();
  EXPECT_EQ(sent, 2 * kMss) << "whole segments";
}

TEST(Send, ShutWindowIsProbedUntilItOpens) {
  Harness h;
  h.Connect();
  h.Write("first");
  h.Take();
  h.Peer({.window = 0});
  h.Write("second");
  h.None();
  h.Advance(10 * kSecond);
  const std::vector<Segment> probes = h.Take();
  EXPECT_GE(probes.size(), 3u);
  EXPECT_LT(probes.size(), 10u) << "each pause is longer";
  for (const Segment& s : probes) {
    EXPECT_EQ(s.seq, h.peer_ack - 1) << "a number that makes the peer answer";
    EXPECT_TRUE(s.payload.empty());
  }
  h.Peer({});
  EXPECT_EQ(h.One().payload, "second");
}

TEST(Send, ShutWindowMayStayForEverWhileThePeerAnswers) {
  Harness h({}, {.user_timeout_ns = 30 * kSecond});
  h.Connect();
  h.Write("first");
  h.Peer({.window = 0});
  h.Write("second");
  for (int i = 0; i < 600; ++i) {
    h.Advance(kSecond);
    if (!h.Take().empty()) h.Peer({.window = 0});
  }
  EXPECT_EQ(h.ended, CloseReason::kNone);
  h.Advance(120 * kSecond);
  EXPECT_EQ(h.ended, CloseReason::kTimeout) << "and no longer";
}

TEST(Send, NagleHoldsSmallSegmentsWhileOneIsOut) {
  for (const bool nagle : {true, false}) {
    Harness h;
    h.Connect({.nagle = nagle});
    h.Write("a");
    EXPECT_EQ(h.One().payload, "a");
    h.Write("b");
    h.Write("c");
    if (!nagle) {
      EXPECT_EQ(h.Take().size(), 2u);
      continue;
    }
    h.None();
    h.Peer({});
    EXPECT_EQ(h.One().payload, "bc");
  }
}

TEST(Send, KeepaliveProbesAndGivesUp) {
  Harness h;
  h.Connect({.keepalive_ns = 10 * kSecond});
  h.Advance(9 * kSecond);
  h.None();
  h.Advance(kSecond);
  const Segment probe = h.One();
  EXPECT_EQ(probe.seq, h.peer_ack - 1);
  h.Peer({});
  h.Advance(9 * kSecond);
  h.None();
  h.Advance(200 * kSecond);
  EXPECT_EQ(h.ended, CloseReason::kTimeout);
  EXPECT_EQ(h.counters().keepalive_probes, 10u);
}

TEST(Send, KeepaliveStartsWithConnect) {
  Harness h;
  h.Connect();
  h.Advance(3600 * kSecond);
  h.None();
}

TEST(Send, BurstIsOfEqualSegmentsAndAViewOfTheRing) {
  struct Counting : PacketSink {
    size_t Room() override { return 1000; }
    void Take(const PacketBurst& burst) override {
      if (burst.payload_bytes > 0) bursts.push_back(burst.count);
      for (size_t i = 0; i + 1 < burst.count; ++i) EXPECT_EQ(burst.PayloadBytes(i), burst.segment_bytes);
    }
    std::vector<size_t> bursts;
  } sink;
  Harness h({}, {.congestion = Congestion::kCubic});
  h.Connect();
  const std::string data(9 * kMss + 5, 'x');
  h.connection->Send({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
  h.stack().Poll(h.now, sink);
  h.stack().Poll(h.now, sink);
  EXPECT_EQ(sink.bursts, (std::vector<size_t>{10}));
}

TEST(Send, WaitsForRoomInTheSink) {
  Harness h;
  h.Connect();
  h.room = 0;
  h.Write("x");
  h.None();
  EXPECT_LE(h.stack().NextDeadline(), h.now);
  h.room = 10;
  h.Poll();
  EXPECT_EQ(h.One().payload, "x");
}

TEST(Send, NarrowSinkGetsNoMoreThanItsRoom) {
  Harness h;
  h.Connect();
  h.room = 3;
  h.Write(std::string(10 * kMss, 'x'));
  const std::vector<Segment> sent = h.Take();
  EXPECT_EQ(sent.size(), 10u) << "in several bursts";
}

TEST(Send, WritableComesWhenSpaceDoes) {
  Harness h;
  h.Connect();
  const std::string data(1 << 20, 'x');
  size_t written = h.connection->Send({reinterpret_cast<const uint8_t*>(data.data()), data.size()});
  EXPECT_LT(written, data.size());
  h.Events();
  h.Poll();
  EXPECT_EQ(h.Events() & kWritable, 0);
  for (int i = 0; i < 40; ++i) {
    h.Advance(10 * kMillisecond);
    h.Peer({});
  }
  EXPECT_EQ(h.Events() & kWritable, kWritable);
}

TEST(Send, DataBeforeTheHandshakeWaits) {
  Harness h;
  h.StartConnect();
  h.Write("early");
  h.None();
  h.SynAck();
  EXPECT_EQ(h.One().payload, "early");
}

TEST(Send, PacedSenderSpreadsAWindow) {
  Harness h;
  h.StartConnect();
  h.Advance(100 * kMillisecond);
  h.SynAck();
  h.Take();
  h.Write(std::string(40 * kMss, 'x'));
  EXPECT_EQ(h.Take().size(), 10u) << "the initial window needs no clock";
  h.Advance(100 * kMillisecond);
  h.Peer({});
  const size_t at_once = h.Take().size();
  EXPECT_LT(at_once, 10u);
  h.Advance(90 * kMillisecond);
  EXPECT_GT(h.Take().size(), at_once);
}

}  // namespace
}  // namespace lattice::netstack
