// RFC 9293 3.6: closing, in each of its orders; TIME_WAIT; half-close.
#include "tests/unit/netstack/harness.h"

namespace lattice::netstack {
namespace {

TEST(Close, OursFirst) {
  Harness h;
  h.Connect();
  h.connection->ShutdownWrite();
  h.Poll();
  const Segment fin = h.One();
  EXPECT_EQ(fin.flags, kFin | kAck);
  EXPECT_EQ(h.connection->state(), TcpState::kFinWait1);
  h.Peer({});
  EXPECT_EQ(h.connection->state(), TcpState::kFinWait2);
  h.Peer({.flags = kFin | kAck});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.ended, CloseReason::kFinished);
  EXPECT_EQ(h.stack().time_wait(), 1u);
}

TEST(Close, TheirsFirst) {
  Harness h;
  h.Connect();
  h.Peer({.flags = kFin | kAck});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.connection->state(), TcpState::kCloseWait);
  EXPECT_TRUE(h.connection->receive_finished());
  EXPECT_EQ(h.Events(), kReadable);
  h.connection->ShutdownWrite();
  h.Poll();
  EXPECT_EQ(h.One().flags, kFin | kAck);
  EXPECT_EQ(h.connection->state(), TcpState::kLastAck);
  h.Peer({});
  EXPECT_EQ(h.ended, CloseReason::kFinished);
  EXPECT_EQ(h.stack().time_wait(), 0u);
}

TEST(Close, BothAtOnce) {
  Harness h;
  h.Connect();
  const uint32_t before = h.peer_ack;
  h.connection->ShutdownWrite();
  h.Poll();
  h.One();
  h.Peer({.flags = kFin | kAck, .ack = before});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.connection->state(), TcpState::kClosing);
  h.Peer({});
  EXPECT_EQ(h.ended, CloseReason::kFinished);
  EXPECT_EQ(h.stack().time_wait(), 1u);
}

TEST(Close, FinThatAcknowledgesOursGoesToTimeWaitAtOnce) {
  Harness h;
  h.Connect();
  h.connection->ShutdownWrite();
  h.Poll();
  h.One();
  h.Peer({.flags = kFin | kAck});
  EXPECT_EQ(h.ended, CloseReason::kFinished);
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.stack().time_wait(), 1u);
}

TEST(Close, HalfCloseOfOursStillReads) {
  Harness h;
  h.Connect();
  h.connection->ShutdownWrite();
  h.Poll();
  h.Peer({});
  h.Peer({.payload = "late answer"});
  EXPECT_EQ(h.Read(), "late answer");
}

TEST(Close, HalfCloseOfTheirsStillWrites) {
  Harness h;
  h.Connect();
  h.Peer({.flags = kFin | kAck});
  h.Take();
  h.Write("late answer");
  EXPECT_EQ(h.One().payload, "late answer");
}

TEST(Close, FinRidesOnTheLastData) {
  Harness h;
  h.Connect();
  h.connection->Send({reinterpret_cast<const uint8_t*>("bye"), 3});
  h.connection->ShutdownWrite();
  h.Poll();
  const Segment last = h.One();
  EXPECT_EQ(last.payload, "bye");
  EXPECT_TRUE(last.Has(kFin | kPsh));
}

TEST(Close, FinIsRepeated) {
  Harness h;
  h.Connect();
  h.connection->ShutdownWrite();
  h.Poll();
  const Segment fin = h.One();
  h.Advance(2 * kSecond);
  const std::vector<Segment> again = h.Take();
  ASSERT_FALSE(again.empty());
  EXPECT_TRUE(again[0].Has(kFin));
  EXPECT_EQ(again[0].seq, fin.seq);
}

TEST(Close, FinOutOfOrderWaitsForWhatIsBefore) {
  Harness h;
  h.Connect();
  h.Peer({.flags = kFin | kAck, .seq = h.peer_seq + 5});
  EXPECT_EQ(h.connection->state(), TcpState::kEstablished);
  h.Peer({.payload = "hello"});
  EXPECT_EQ(h.connection->state(), TcpState::kCloseWait);
  EXPECT_FALSE(h.connection->receive_finished());
  EXPECT_EQ(h.Read(), "hello");
  EXPECT_TRUE(h.connection->receive_finished());
}

TEST(Close, WithUnreadDataResets) {
  Harness h;
  h.Connect();
  h.Peer({.payload = "unread"});
  h.Take();
  h.connection->Close();
  h.Poll();
  EXPECT_TRUE(h.One().Has(kRst));
  EXPECT_EQ(h.stack().connections(), 0u);
}

TEST(Close, DataAfterCloseResets) {
  Harness h;
  h.Connect();
  h.connection->Close();
  h.Poll();
  h.One();
  h.Peer({.payload = "nobody reads this"});
  EXPECT_TRUE(h.One().Has(kRst));
  EXPECT_EQ(h.stack().connections(), 0u);
}

TEST(Close, DeliversWhatWasCommittedBefore) {
  Harness h;
  h.Connect();
  h.connection->Send({reinterpret_cast<const uint8_t*>("tail"), 4});
  h.connection->Close();
  h.Poll();
  EXPECT_EQ(h.One().payload, "tail");
  h.Advance(2 * kSecond);
  EXPECT_FALSE(h.Take().empty()) << "not repeated after Close()";
  h.Peer({});
  h.Peer({.flags = kFin | kAck});
  EXPECT_EQ(h.stack().connections(), 0u);
  EXPECT_EQ(h.stack().buffered_bytes(), 0u);
}

TEST(Close, OrphanInFinWait2IsGivenUp) {
  Harness h({}, {.fin_wait_ns = 30 * kSecond});
  h.Connect();
  h.connection->Close();
  h.Poll();
  h.Peer({});
  h.Advance(29 * kSecond);
  EXPECT_EQ(h.stack().connections(), 1u);
  h.Advance(2 * kSecond);
  EXPECT_EQ(h.stack().connections(), 0u);
}

TEST(Close, AbortResets) {
  Harness h;
  h.Connect();
  h.connection->Abort();
  h.Poll();
  const Segment rst = h.One();
  EXPECT_TRUE(rst.Has(kRst));
  EXPECT_EQ(rst.seq, h.peer_ack);
  EXPECT_EQ(h.stack().connections(), 0u);
}

TEST(Close, PeerResetIsReportedAndFreesAll) {
  Harness h;
  h.Connect();
  h.Write("unacknowledged");
  h.Peer({.flags = kRst});
  EXPECT_EQ(h.ended, CloseReason::kReset);
  EXPECT_EQ(h.stack().buffered_bytes(), 0u);
}

struct TimeWaitFixture : ::testing::Test {
  Harness h;
  void SetUp() override {
    h.Connect();
    h.connection->Close();
    h.Poll();
    h.Peer({.flags = kFin | kAck});
    h.Take();
    ASSERT_EQ(h.stack().time_wait(), 1u);
  }
};

TEST_F(TimeWaitFixture, RepeatedFinIsAcknowledgedAndStartsAnew) {
  h.Advance(50 * kSecond);
  h.Peer({.flags = kFin | kAck, .seq = h.peer_seq - 1});
  const Segment ack = h.One();
  EXPECT_EQ(ack.flags, kAck);
  EXPECT_EQ(ack.ack, h.peer_seq);
  h.Advance(50 * kSecond);
  EXPECT_EQ(h.stack().time_wait(), 1u);
  h.Advance(11 * kSecond);
  EXPECT_EQ(h.stack().time_wait(), 0u);
}

TEST_F(TimeWaitFixture, RstDoesNotEndIt) {  // RFC 1337
  h.Peer({.flags = kRst});
  EXPECT_EQ(h.stack().time_wait(), 1u);
}

TEST_F(TimeWaitFixture, LaterSynOpensANewConnection) {  // RFC 6191
  h.listener = *h.stack().Listen({IpAddress(), h.engine_port}, 4);
  h.Peer({.flags = kSyn, .seq = 1u, .timestamp = 1u});
  EXPECT_EQ(h.One().flags, kAck) << "an old SYN gets the last ACK";
  h.Advance(10 * kMillisecond);
  h.Peer({.flags = kSyn, .seq = h.peer_seq + 100000});
  EXPECT_EQ(h.One().flags, kSyn | kAck);
  EXPECT_EQ(h.stack().time_wait(), 0u);
}

}  // namespace
}  // namespace lattice::netstack
