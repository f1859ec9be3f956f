// Receiving: reassembly, ACKs (RFC 5681 4.2), SACK (RFC 2018) and DSACK (RFC 2883), windows (RFC 9293 3.8.6, RFC 7323).
#include "tests/unit/netstack/harness.h"

namespace lattice::netstack {
namespace {

TEST(Receive, SmallSegmentIsAcknowledgedLate) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "x"});
  h.None();
  h.Advance(39 * kMillisecond);
  h.None();
  h.Advance(kMillisecond);
  EXPECT_EQ(h.One().ack, h.peer_seq);
}

TEST(Receive, SecondSegmentIsAcknowledgedAtOnce) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "x"});
  h.Peer({.payload = "y"});
  EXPECT_EQ(h.One().ack, h.peer_seq);
  h.Advance(kSecond);
  h.None();
}

TEST(Receive, OneAckForABurst) {
  Harness h;
  h.Connect();
  for (int i = 0; i < 20; ++i) {
    const std::string packet = h.Build({.payload = std::string(1000, 'x')});
    h.peer_seq += 1000;
    h.stack().Receive({reinterpret_cast<const uint8_t*>(packet.data()), packet.size()}, h.now);
  }
  h.Poll();
  EXPECT_EQ(h.One().ack, h.peer_seq);
}

TEST(Receive, AckRidesOnData) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "question"});
  h.Write("answer");
  const Segment s = h.One();
  EXPECT_EQ(s.payload, "answer");
  EXPECT_EQ(s.ack, h.peer_seq);
  h.Peer({});
  h.Advance(kSecond);
  h.None();
}

TEST(Receive, OutOfOrderIsKeptAndReported) {
  Harness h;
  h.Connect();
  const uint32_t base = h.peer_seq;
  h.Peer({.seq = base + 5, .payload = "FGHIJ"});
  Segment s = h.One();
  EXPECT_EQ(s.ack, base);
  ASSERT_EQ(s.options.sack_count, 1);
  EXPECT_EQ(s.options.sack[0].start, base + 5);
  EXPECT_EQ(s.options.sack[0].end, base + 10);
  h.Peer({.seq = base + 20, .payload = "uvwxy"});
  s = h.One();
  ASSERT_EQ(s.options.sack_count, 2);
  EXPECT_EQ(s.options.sack[0].start, base + 20) << "the newest first";
  EXPECT_EQ(s.options.sack[1].start, base + 5);
  h.Peer({.seq = base, .payload = "ABCDE"});
  s = h.One();
  EXPECT_EQ(s.ack, base + 10);
  EXPECT_EQ(s.options.sack_count, 1);
  EXPECT_EQ(h.Read(), "ABCDEFGHIJ");
  h.Peer({.seq = base + 10, .payload = "KLMNOpqrst"});
  EXPECT_EQ(h.Read(), "KLMNOpqrstuvwxy");
}

TEST(Receive, OverlapsAreCut) {
  Harness h;
  h.Connect();
  const uint32_t base = h.peer_seq;
  h.Peer({.seq = base + 2, .payload = "CDEF"});
  h.Peer({.seq = base, .payload = "ABCD"});
  h.Peer({.seq = base + 4, .payload = "EFGH"});
  EXPECT_EQ(h.Read(), "ABCDEFGH");
}

TEST(Receive, DuplicateIsReportedFirst) {
  Harness h;
  h.Connect();
  const uint32_t base = h.peer_seq;
  h.Peer({.payload = "hello"});
  h.Take();
  h.Peer({.seq = base, .payload = "hello"});
  const Segment s = h.One();
  EXPECT_EQ(s.ack, base + 5);
  ASSERT_EQ(s.options.sack_count, 1);
  EXPECT_EQ(s.options.sack[0].start, base);
  EXPECT_EQ(s.options.sack[0].end, base + 5);
  EXPECT_EQ(h.Read(), "hello");
}

TEST(Receive, NoSackToAPeerWithout) {
  Harness h({.sack = false});
  h.Connect();
  h.Peer({.seq = h.peer_seq + 5, .payload = "later"});
  EXPECT_EQ(h.One().options.sack_count, 0);
}

// Fills the window, whatever it is, without the application reading.
uint64_t Fill(Harness& h) {
  uint64_t sent = 0;
  for (uint64_t window = 65535; window > 0;) {
    const std::string piece(std::min<uint64_t>(window, 1368), 'f');
    h.Peer({.payload = piece});
    sent += piece.size();
    window -= piece.size();
    const std::vector<Segment> answers = h.Take();
    if (answers.empty()) continue;
    const uint32_t unknown = h.peer_seq - answers.back().ack;
    window = std::max<uint64_t>(uint64_t{answers.back().window} << 9, unknown) - unknown;
  }
  return sent;
}

TEST(Receive, WindowShutsAndOpensAgain) {
  Harness h({}, {.initial_receive_window = 64 * 1024});
  h.Connect();
  const uint64_t held = Fill(h);
  EXPECT_LE(held, 64u * 1024);
  EXPECT_GT(held, 60u * 1024);
  // What does not fit any more is answered.
  h.Peer({.seq = h.peer_seq, .payload = std::string(1368, 'z')});
  const Segment s = h.One();
  EXPECT_EQ(s.window, 0);
  EXPECT_GE(h.Read().size(), held);
  EXPECT_GT(h.One().window, 0) << "told at once, since the peer waits";
}

TEST(Receive, WindowDoesNotOpenByCrumbs) {
  Harness h({}, {.initial_receive_window = 64 * 1024});
  h.Connect();
  Fill(h);
  for (int i = 0; i < 100; ++i) {
    h.connection->Consume(10);
    h.Poll();
  }
  h.None();
  h.connection->Consume(4000);
  h.Poll();
  EXPECT_GE(uint32_t{h.One().window} << 9, 2u * 1368);
}

TEST(Receive, RightEdgeNeverMovesBack) {
  Harness h({}, {.memory_budget = 512 * 1024, .initial_receive_window = 256 * 1024});
  h.Connect();
  uint32_t edge = 0;
  for (int i = 0; i < 100; ++i) {
    h.Peer({.payload = std::string(1368, 'x')});
    for (const Segment& s : h.Take()) {
      const uint32_t now_edge = s.ack + (uint32_t{s.window} << 9);
      // The shift rounds down by less than its unit.
      if (edge != 0) {
        EXPECT_GE(static_cast<int32_t>(now_edge - edge), -511) << i;
      }
      edge = now_edge;
    }
  }
}

TEST(Receive, WindowGrowsWithAFastReaderOnly) {
  for (const bool fast : {true, false}) {
    Harness h({}, {.initial_receive_window = 64 * 1024});
    h.StartConnect();
    h.Advance(20 * kMillisecond);
    h.SynAck();
    for (int i = 0; i < 2000; ++i) {
      h.Peer({.payload = std::string(1368, 'x')});
      h.Read();
      h.Take();
      // A window's worth in one round trip, or in forty.
      if (i % 40 == 0) h.Advance((fast ? 20 : 800) * kMillisecond);
    }
    if (fast) {
      EXPECT_EQ(h.connection->receive_window(), 256u * 1024) << "54 KiB in a round trip, twice and twice again";
    } else {
      EXPECT_EQ(h.connection->receive_window(), 64u * 1024);
    }
  }
}

TEST(Receive, OldTimestampIsDropped) {  // PAWS, RFC 7323 5
  Harness h;
  h.Connect();
  h.Advance(kSecond);
  h.Peer({.payload = "new"});
  h.Take();
  h.Peer({.timestamp = static_cast<uint32_t>(h.now / kMillisecond) - 500, .payload = "of an earlier life"});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.counters().Of(Drop::kPaws), 1u);
  EXPECT_EQ(h.Read(), "new");
}

TEST(Receive, MissingTimestampIsDropped) {  // RFC 7323 3.2
  Harness h;
  h.Connect();
  h.Peer({.payload = "x", .no_timestamps = true});
  EXPECT_EQ(h.connection->available(), 0u);
}

TEST(Receive, EchoIsOfTheSegmentThatAdvanced) {  // RFC 7323 4.3
  Harness h;
  h.Connect();
  const uint32_t base = h.peer_seq;
  h.Advance(10 * kMillisecond);
  h.Peer({.seq = base + 5, .timestamp = 2000000u, .payload = "later"});
  EXPECT_LT(h.One().options.echo, 2000000u) << "a segment out of order sets no echo";
}

TEST(Receive, IdleConnectionHoldsNoBuffer) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "x"});
  EXPECT_GT(h.stack().buffered_bytes(), 0u);
  h.Read();
  h.Write("y");
  h.Peer({});
  EXPECT_EQ(h.stack().buffered_bytes(), 0u);
  iovec space[2];
  EXPECT_GT(h.connection->SendSpace(absl::MakeSpan(space)), 0u);
  h.connection->Commit(0);
  EXPECT_EQ(h.stack().buffered_bytes(), 0u);
}

TEST(Receive, ChecksumMustHold) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "x", .break_checksum = true});
  EXPECT_EQ(h.counters().Of(Drop::kChecksum), 1u);
  EXPECT_EQ(h.connection->available(), 0u);
}

}  // namespace
}  // namespace lattice::netstack
