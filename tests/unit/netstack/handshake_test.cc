// RFC 9293 3.5: opening. RFC 6298 5.7, RFC 6528, RFC 6056.
#include <set>

#include "tests/unit/netstack/harness.h"

namespace lattice::netstack {
namespace {

TEST(Handshake, ActiveOpenOffersAllOptions) {
  Harness h;
  const Segment syn = h.StartConnect();
  EXPECT_EQ(syn.flags, kSyn);
  EXPECT_EQ(syn.options.mss, 1380);
  EXPECT_TRUE(syn.options.sack_permitted);
  EXPECT_TRUE(syn.options.has_timestamps);
  EXPECT_EQ(syn.options.window_scale, 9);  // 16 MiB
  h.SynAck();
  const Segment ack = h.One();
  EXPECT_EQ(ack.flags, kAck);
  EXPECT_EQ(ack.seq, syn.seq + 1);
  EXPECT_EQ(ack.ack, 5001u);
  EXPECT_EQ(h.Events(), kConnected | kWritable);
  EXPECT_EQ(h.connection->state(), TcpState::kEstablished);
}

TEST(Handshake, MssOfIpv6LeavesRoomForItsHeader) {
  Harness h({.v6 = true});
  EXPECT_EQ(h.StartConnect().options.mss, 1360);
}

TEST(Handshake, SynIsRepeatedWithBackoffAndGivenUp) {
  Harness h({}, {.connect_timeout_ns = 20 * kSecond});
  h.StartConnect();
  h.Advance(999 * kMillisecond);
  h.None();
  h.Advance(1 * kMillisecond);
  EXPECT_EQ(h.One().flags, kSyn);
  h.Advance(2 * kSecond);
  EXPECT_EQ(h.One().flags, kSyn);
  h.Advance(60 * kSecond);
  EXPECT_EQ(h.ended, CloseReason::kTimeout);
  EXPECT_EQ(h.stack().connections(), 0u);
}

TEST(Handshake, RstToTheSynIsRefused) {
  Harness h;
  const Segment syn = h.StartConnect();
  h.Peer({.flags = kRst | kAck, .ack = syn.seq + 1});
  EXPECT_EQ(h.ended, CloseReason::kRefused);
}

TEST(Handshake, RstThatAcknowledgesAnotherNumberIsIgnored) {
  Harness h;
  const Segment syn = h.StartConnect();
  h.Peer({.flags = kRst | kAck, .ack = syn.seq + 2});
  h.Peer({.flags = kRst});
  EXPECT_EQ(h.ended, CloseReason::kNone);
  EXPECT_EQ(h.connection->state(), TcpState::kSynSent);
}

TEST(Handshake, SynAckForAnotherNumberGetsRst) {
  Harness h;
  const Segment syn = h.StartConnect();
  h.Peer({.flags = kSyn | kAck, .seq = 1u, .ack = syn.seq + 77});
  const Segment rst = h.One();
  EXPECT_EQ(rst.flags, kRst);
  EXPECT_EQ(rst.seq, syn.seq + 77);
  EXPECT_EQ(h.connection->state(), TcpState::kSynSent);
}

TEST(Handshake, BothOpenAtOnce) {
  Harness h;
  const Segment syn = h.StartConnect();
  h.Peer({.flags = kSyn});
  const Segment answer = h.One();
  EXPECT_EQ(answer.flags, kSyn | kAck);
  EXPECT_EQ(answer.seq, syn.seq);
  EXPECT_EQ(answer.ack, 5001u);
  EXPECT_EQ(h.connection->state(), TcpState::kSynReceived);
  h.Peer({});
  EXPECT_EQ(h.connection->state(), TcpState::kEstablished);
  EXPECT_EQ(h.Events() & kConnected, kConnected);
}

TEST(Handshake, PeerWithoutOptionsGetsNone) {
  Harness h({.sack = false, .timestamps = false, .scaling = false});
  h.Connect();
  h.Write("x");
  const Segment data = h.One();
  EXPECT_FALSE(data.options.has_timestamps);
  // What an unscaled window field can say.
  EXPECT_GT(data.window, 60000);
}

TEST(Handshake, PassiveOpen) {
  Harness h;
  h.Accept();
  ASSERT_NE(h.connection, nullptr);
  EXPECT_EQ(h.connection->state(), TcpState::kEstablished);
  h.Peer({.payload = "hello"});
  EXPECT_EQ(h.Read(), "hello");
}

TEST(Handshake, SynAckIsRepeatedAndForgotten) {
  Harness h;
  h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
  h.PeerSyn();
  h.One();
  h.Advance(kSecond);
  EXPECT_EQ(h.One().flags, kSyn | kAck);
  h.Advance(60 * kSecond);
  EXPECT_EQ(h.Take().size(), 3u);
  EXPECT_EQ(h.stack().half_open(), 0u);
}

TEST(Handshake, DataOnTheCompletingAckCounts) {
  Harness h;
  h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
  h.PeerSyn();
  h.Take();
  h.Peer({.payload = "early"});
  ASSERT_NE(h.connection, nullptr);
  EXPECT_EQ(h.Read(), "early");
}

TEST(Handshake, WrongAckOfTheSynAckGetsRst) {
  Harness h;
  h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
  h.PeerSyn();
  const Segment answer = h.One();
  h.Peer({.ack = answer.seq + 5});
  EXPECT_EQ(h.One().flags, kRst);
  EXPECT_EQ(h.connection, nullptr);
}

TEST(Handshake, ClosedPortAnswersRst) {
  Harness h;
  h.engine_port = 81;
  h.Peer({.flags = kSyn});
  const Segment rst = h.One();
  EXPECT_EQ(rst.flags, kRst | kAck);
  EXPECT_EQ(rst.seq, 0u);
  EXPECT_EQ(rst.ack, 5001u);
  h.Peer({.ack = 777u});
  EXPECT_EQ(h.One().seq, 777u);
  h.Peer({.flags = kRst});
  h.None();
  EXPECT_EQ(h.counters().Of(Drop::kNoPort), 3u);
}

// RFC 6528, RFC 6056: neither numbers nor ports of different destinations follow each other.
TEST(Handshake, NumbersAndPortsCannotBeGuessed) {
  Harness h;
  std::set<int64_t> steps;
  uint32_t last = 0;
  std::set<uint16_t> ports;
  for (uint32_t i = 0; i < 50; ++i) {
    h.theirs = IpAddress::FromV4(0xc0000209 + i);
    const Segment syn = h.StartConnect();
    steps.insert(int64_t{syn.seq} - int64_t{last});
    last = syn.seq;
    ports.insert(syn.source_port);
    h.connection->Abort();
    h.Poll();
    h.Take();
  }
  EXPECT_EQ(steps.size(), 50u);
  EXPECT_GT(ports.size(), 45u);
}

TEST(Handshake, JudgeIsAskedBeforeAnythingLeaves) {
  struct No : FlowJudge {
    Verdict Judge(const NewFlow& flow) override {
      last = flow;
      return verdict;
    }
    Verdict verdict = Verdict::kDrop;
    NewFlow last;
  } judge;
  Harness h({}, {}, &judge);
  EXPECT_EQ(h.stack().Connect({h.theirs, 9000}, {}).status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(judge.last.inbound);
  h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
  h.PeerSyn();
  h.None();
  EXPECT_TRUE(judge.last.inbound);
  EXPECT_EQ(judge.last.remote, (Endpoint{h.theirs, 9000}));
  EXPECT_EQ(judge.last.local.port, 80);
  judge.verdict = FlowJudge::Verdict::kRefuse;
  h.PeerSyn();
  EXPECT_EQ(h.One().flags, kRst | kAck);
  EXPECT_EQ(h.counters().Of(Drop::kPolicy), 3u);
}

}  // namespace
}  // namespace lattice::netstack
