// What somebody can send who does not see the connection: RFC 5961, RFC 5927, SYN floods (RFC 4987).
#include "tests/unit/netstack/harness.h"
#include "userspace/base/checksum.h"

namespace lattice::netstack {
namespace {

TEST(Attack, RstInsideOfTheWindowIsChallenged) {  // RFC 5961 3
  Harness h;
  h.Connect();
  h.Peer({.flags = kRst, .seq = h.peer_seq + 100});
  const Segment s = h.One();
  EXPECT_EQ(s.flags, kAck);
  EXPECT_EQ(s.ack, h.peer_seq);
  EXPECT_EQ(h.ended, CloseReason::kNone);
  h.Peer({.flags = kRst});
  EXPECT_EQ(h.ended, CloseReason::kReset);
}

TEST(Attack, RstOutsideOfTheWindowIsDropped) {
  Harness h;
  h.Connect();
  h.Peer({.flags = kRst, .seq = h.peer_seq - 1});
  h.Peer({.flags = kRst, .seq = h.peer_seq + (1u << 30)});
  h.None();
  EXPECT_EQ(h.ended, CloseReason::kNone);
}

TEST(Attack, SynIsChallenged) {  // RFC 5961 4
  Harness h;
  h.Connect();
  h.Peer({.flags = kSyn, .seq = h.peer_seq + 10});
  EXPECT_EQ(h.One().flags, kAck);
  h.Peer({.flags = kSyn | kAck, .seq = h.peer_seq - 1});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.connection->state(), TcpState::kEstablished);
}

TEST(Attack, AckOfWhatWasNeverSentIsChallenged) {  // RFC 5961 5
  Harness h;
  h.Connect();
  h.Peer({.ack = h.peer_ack + 1, .payload = "injected"});
  EXPECT_EQ(h.One().flags, kAck);
  EXPECT_EQ(h.connection->available(), 0u);
  h.Peer({.ack = h.peer_ack - (1u << 30), .payload = "injected"});
  EXPECT_EQ(h.connection->available(), 0u);
}

TEST(Attack, ChallengesAreFew) {
  Harness h;
  h.Connect();
  for (int i = 0; i < 1000; ++i) h.Peer({.flags = kRst, .seq = h.peer_seq + 100});
  EXPECT_EQ(h.Take().size(), 10u);
  h.Advance(kSecond);
  h.Peer({.flags = kRst, .seq = h.peer_seq + 100});
  EXPECT_EQ(h.Take().size(), 1u);
}

TEST(Attack, SackOfWhatWasNeverSentIsIgnored) {
  Harness h;
  h.Connect();
  h.Write(std::string(5000, 'x'));
  h.Take();
  const uint32_t una = h.peer_ack - 5000;
  h.Peer({.ack = una, .sack = {{una + 1000, una + 900000}, {una + 3000, una + 2000}, {una - 500, una - 100}}});
  h.Advance(10 * kMillisecond);
  h.Peer({});
  EXPECT_EQ(h.stack().buffered_bytes(), 0u);
}

TEST(Attack, HolesAreBounded) {
  Harness h;
  h.Connect();
  for (uint32_t i = 0; i < 5000; ++i) h.Peer({.seq = h.peer_seq + 10 + i * 2, .payload = "x"});
  EXPECT_GT(h.counters().Of(Drop::kMemory), 3000u);
  EXPECT_LT(h.stack().buffered_bytes(), 64u * 1024);
}

struct Flood : ::testing::Test {
  Harness h{{}, {.max_half_open = 8}};
  void SetUp() override {
    h.listener = *h.stack().Listen({IpAddress(), 80}, 16);
    for (uint16_t port = 1000; port < 1100; ++port) h.PeerSyn(port);
    EXPECT_EQ(h.Take().size(), 100u) << "all are answered";
    EXPECT_EQ(h.stack().half_open(), 8u) << "and few are remembered";
    EXPECT_EQ(h.counters().syn_cookies_sent, 92u);
  }
};

TEST_F(Flood, CookieOpensAConnectionWithAllOptions) {
  h.peer_seq = h.traits.isn;
  h.PeerSyn(2000);
  const Segment cookie = h.One();
  ASSERT_EQ(cookie.flags, kSyn | kAck);
  h.Advance(30 * kMillisecond);
  h.Take();
  h.peer_ack = cookie.seq + 1;
  h.Peer({.echo = cookie.options.timestamp, .payload = "hello"});
  ASSERT_NE(h.connection, nullptr);
  EXPECT_EQ(h.counters().syn_cookies_accepted, 1u);
  EXPECT_EQ(h.Read(), "hello");
  EXPECT_EQ(h.connection->mss(), 1360u - 12) << "the nearest size below";
  h.Take();
  h.Peer({.seq = h.peer_seq + 10, .payload = "gap"});
  EXPECT_EQ(h.One().options.sack_count, 1);
}

TEST_F(Flood, GuessedCookieIsRefused) {
  h.peer_seq = h.traits.isn + 1;
  h.peer_port = 3000;
  for (uint32_t i = 0; i < 50; ++i) h.Peer({.ack = 0x12345678 + i * 77});
  EXPECT_EQ(h.connection, nullptr);
  for (const Segment& s : h.Take()) EXPECT_EQ(s.flags, kRst);
}

TEST_F(Flood, OldCookieIsRefused) {
  h.peer_seq = h.traits.isn;
  h.PeerSyn(2000);
  const Segment cookie = h.One();
  h.Advance(200 * kSecond);
  h.Take();
  h.Peer({.ack = cookie.seq + 1, .echo = cookie.options.timestamp});
  EXPECT_EQ(h.connection, nullptr);
}

TEST(Attack, AcceptQueueIsBounded) {
  Harness h;
  struct Lazy : Application {
    void OnTcp(TcpConnection&, uint8_t) override {}
    void OnAccept(TcpListener&) override {}
    void OnUdp(UdpSocket&) override {}
  } lazy;
  Options options;
  options.addresses = {h.ours};
  Stack stack(options, lazy);
  TcpListener* listener = *stack.Listen({IpAddress(), 80}, 4);
  h.engine_port = 80;
  for (uint16_t port = 1000; port < 1020; ++port) {
    h.peer_port = port;
    h.peer_seq = 5000;
    std::string syn = h.Build({.flags = kSyn});
    stack.Receive({reinterpret_cast<const uint8_t*>(syn.data()), syn.size()}, h.now);
    stack.Poll(h.now, h);
    for (const Segment& s : h.Take()) {
      h.peer_ack = s.seq + 1;
      std::string ack = h.Build({.seq = 5001u});
      stack.Receive({reinterpret_cast<const uint8_t*>(ack.data()), ack.size()}, h.now);
    }
  }
  EXPECT_EQ(listener->waiting(), 4u);
  EXPECT_EQ(stack.connections(), 4u);
  EXPECT_EQ(stack.counters().Of(Drop::kQueueFull), 16u);
  stack.Close(listener);
  stack.Poll(h.now, h);
  EXPECT_EQ(stack.connections(), 0u);
}

TEST(Attack, ConnectionsAreCapped) {
  Harness h({}, {.max_connections = 2});
  h.StartConnect();
  ASSERT_TRUE(h.stack().Connect({h.theirs, 9001}, {}).ok());
  EXPECT_EQ(h.stack().Connect({h.theirs, 9002}, {}).status().code(), absl::StatusCode::kResourceExhausted);
  h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
  h.Poll();
  h.Take();
  h.PeerSyn();
  h.None();
  EXPECT_EQ(h.counters().Of(Drop::kCap), 1u);
}

TEST(Attack, SourcesThatNobodyHasAreDropped) {
  for (const char* source : {"0.0.0.0", "224.0.0.1", "255.255.255.255"}) {
    Harness h;
    h.listener = *h.stack().Listen({IpAddress(), 80}, 4);
    h.theirs = *IpAddress::Parse(source);
    h.PeerSyn();
    h.None();
    EXPECT_EQ(h.counters().Of(Drop::kAddress), 1u) << source;
  }
}

}  // namespace
}  // namespace lattice::netstack
