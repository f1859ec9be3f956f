#include "userspace/tunnel/tunnel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/tunnel/endpoint_resolver.h"

namespace lattice::tunnel {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

// Keeps what comes out.
class Kept : public Inside {
 public:
  void OnPacket(const wireguard::PublicKey&, absl::Span<uint8_t> packet) override {
    burst_.emplace_back(packet.begin(), packet.end());
  }
  void OnBurstEnd() override {
    for (std::string& packet : burst_) packets.push_back(std::move(packet));
    burst_.clear();
  }
  void OnWritable() override { ++writable; }

  std::deque<std::string> packets;
  int writable = 0;

 private:
  std::deque<std::string> burst_;
};

wireguard::PrivateKey Key(uint8_t value) {
  wireguard::PrivateKey key;
  std::fill_n(key.data(), key.size(), value);
  return key;
}

// IPv4 from 10.42.0.`from` to 10.42.0.`to`.
std::string Packet(uint8_t from, uint8_t to, size_t bytes, char fill) {
  std::string packet(bytes, fill);
  const uint8_t header[20] = {0x45,
                              0,
                              static_cast<uint8_t>(bytes >> 8),
                              static_cast<uint8_t>(bytes),
                              0,
                              0,
                              0,
                              0,
                              64,
                              17,
                              0,
                              0,
                              10,
                              42,
                              0,
                              from,
                              10,
                              42,
                              0,
                              to};
  packet.replace(0, 20, reinterpret_cast<const char*>(header), 20);
  return packet;
}

absl::Span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class TunnelTest : public ::testing::TestWithParam<bool> {
 protected:
  struct End {
    Kept inside;
    std::unique_ptr<Tunnel> tunnel;
  };

  void SetUp() override {
    loop_ = *EventLoop::Create();
    uint8_t number = 1;
    for (End* end : {&a_, &b_}) {
      auto tunnel = Tunnel::Create(*loop_, RealClock(), {.offload = GetParam()}, end->inside);
      ASSERT_TRUE(tunnel.ok()) << tunnel.status();
      end->tunnel = *std::move(tunnel);
      ASSERT_TRUE(end->tunnel->SetPrivateKey(Key(number++)).ok());
    }
    Join(a_, b_, 2, true);
    Join(b_, a_, 1, false);
  }

  static void Join(End& end, const End& other, uint8_t number, bool endpoint) {
    wireguard::PeerConfig peer{.public_key = other.tunnel->device()->public_key(),
                               .allowed_ips = {IpPrefix(IpAddress::FromV4({10, 42, 0, number}), 32)}};
    if (endpoint) peer.endpoint = Endpoint{IpAddress::FromV4({127, 0, 0, 1}), other.tunnel->port()};
    ASSERT_TRUE(end.tunnel->SetPeer(peer).ok());
  }

  // Runs the loop until `done`; false: not in time.
  bool RunUntil(const std::function<bool()>& done) {
    bool late = false;
    const EventLoop::TimerId watch = loop_->AddTimer(absl::Milliseconds(1), [&] {
      if (done()) loop_->Stop();
    });
    const EventLoop::TimerId limit = loop_->AddOnce(kPatience, [&] {
      late = true;
      loop_->Stop();
    });
    EXPECT_TRUE(loop_->Run().ok());
    loop_->RemoveTimer(watch);
    loop_->RemoveTimer(limit);
    return !late;
  }

  std::unique_ptr<EventLoop> loop_;
  End a_, b_;
};

TEST_P(TunnelTest, PacketsArriveWholeAndInOrder) {
  std::deque<std::string> want;
  // The first waits for the handshake; then come bursts, of sizes that make groups and that do not.
  for (int i = 0; i < 300; ++i) {
    want.push_back(Packet(1, 2, i % 50 == 49 ? 100 : 1380, static_cast<char>('a' + i % 26)));
  }
  a_.tunnel->Send(BytesOf(want[0]));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 1; }));
  for (size_t i = 1; i < want.size(); ++i) a_.tunnel->Send(BytesOf(want[i]));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == want.size(); }))
      << b_.inside.packets.size() << " of " << want.size();
  EXPECT_EQ(b_.inside.packets, want);
  // Segmentation by the kernel is what makes it fast: 300 packets in a few system calls.
  EXPECT_LT(a_.tunnel->socket().counters().send_calls, 20u);
}

TEST_P(TunnelTest, TheOtherSideAnswersWhereItWasHeardFrom) {
  a_.tunnel->Send(BytesOf(Packet(1, 2, 60, 'x')));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 1; }));
  // a moves to another port: b learns of it by the next packet.
  ASSERT_TRUE(a_.tunnel->SetListenPort(0).ok());
  a_.tunnel->Send(BytesOf(Packet(1, 2, 60, 'y')));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 2; }));
  b_.tunnel->Send(BytesOf(Packet(2, 1, 60, 'z')));
  b_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return a_.inside.packets.size() == 1; }));
  EXPECT_EQ(b_.tunnel->device()->Peers()[0].endpoint->port, a_.tunnel->port());
}

TEST_P(TunnelTest, AnotherKeyEndsTheSessionAndThePeersMeetAgain) {
  a_.tunnel->Send(BytesOf(Packet(1, 2, 60, 'x')));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 1; }));
  ASSERT_TRUE(b_.tunnel->RemovePeer(a_.tunnel->device()->public_key()).ok());
  ASSERT_TRUE(a_.tunnel->SetPrivateKey(Key(9)).ok());
  Join(b_, a_, 1, false);
  a_.tunnel->Send(BytesOf(Packet(1, 2, 60, 'y')));
  a_.tunnel->Flush();
  EXPECT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 2; }));
}

TEST_P(TunnelTest, MoreThanTheSocketTakesIsHeldAndThenSent) {
  a_.tunnel->Send(BytesOf(Packet(1, 2, 60, 'x')));
  a_.tunnel->Flush();
  ASSERT_TRUE(RunUntil([&] { return b_.inside.packets.size() == 1; }));
  // Nobody reads at the other end while this runs, yet nothing here may block or fail.
  const std::string packet = Packet(1, 2, 1380, 'y');
  for (int i = 0; i < 20000 && a_.tunnel->writable(); ++i) a_.tunnel->Send(BytesOf(packet));
  a_.tunnel->Flush();
  EXPECT_EQ(a_.tunnel->counters().dropped_full, 0u);
  EXPECT_TRUE(RunUntil([&] { return a_.tunnel->writable(); }));
}

TEST_P(TunnelTest, AMarkIsSetOnTheSocketThatIsThere) {
  const uint16_t before = a_.tunnel->port();
  const absl::Status marked = a_.tunnel->SetMark(7);
  if (absl::IsPermissionDenied(marked)) GTEST_SKIP() << "needs CAP_NET_ADMIN: " << marked;
  ASSERT_TRUE(marked.ok()) << marked;
  int mark = 0;
  socklen_t length = sizeof(mark);
  ASSERT_EQ(getsockopt(a_.tunnel->socket().fd(), SOL_SOCKET, SO_MARK, &mark, &length), 0);
  EXPECT_EQ(mark, 7);
  EXPECT_EQ(a_.tunnel->port(), before);
}

TEST_P(TunnelTest, APeerWithOurOwnKeyIsNone) {
  const wireguard::PublicKey own = a_.tunnel->device()->public_key();
  ASSERT_TRUE(b_.tunnel->SetPrivateKey(Key(1)).ok());
  EXPECT_EQ(b_.tunnel->device()->public_key(), own);
  EXPECT_TRUE(b_.tunnel->peers().empty());
}

INSTANTIATE_TEST_SUITE_P(Offload, TunnelTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "On" : "Off"; });

// The system's clock, set forward.
class AheadClock : public Clock {
 public:
  absl::Time Now() const override { return RealClock().Now() + absl::Nanoseconds(ahead_ns); }
  int64_t MonotonicNs() const override { return RealClock().MonotonicNs() + ahead_ns; }
  int64_t ahead_ns = 0;
};

// 90 s without an answer, of which five are waited for.
TEST(RebindTest, WhoIsNotAnsweredComesFromAnotherPort) {
  for (const bool fixed : {false, true}) {
    auto loop = *EventLoop::Create();
    AheadClock clock;
    Kept inside;
    uint16_t port = 0;
    if (fixed) {
      const auto probe = UdpSocket::Open({});
      ASSERT_TRUE(probe.ok());
      port = (*probe)->port();
    }
    auto tunnel = Tunnel::Create(*loop, clock, {.listen_port = port}, inside);
    ASSERT_TRUE(tunnel.ok()) << tunnel.status();
    ASSERT_TRUE((*tunnel)->SetPrivateKey(Key(1)).ok());
    const auto silent = UdpSocket::Open({.address = IpAddress::FromV4({127, 0, 0, 1})});
    ASSERT_TRUE(silent.ok());
    wireguard::PeerConfig peer{.endpoint = Endpoint{IpAddress::FromV4({127, 0, 0, 1}), (*silent)->port()},
                               .allowed_ips = {IpPrefix(IpAddress::FromV4({10, 42, 0, 2}), 32)}};
    peer.public_key.bytes[0] = 9;
    ASSERT_TRUE((*tunnel)->SetPeer(peer).ok());
    const uint16_t before = (*tunnel)->port();
    (*tunnel)->Send(BytesOf(Packet(1, 2, 60, 'x')));
    (*tunnel)->Flush();
    clock.ahead_ns = 95'000'000'000;
    loop->AddTimer(absl::Milliseconds(20), [&] {
      if ((*tunnel)->device()->counters().handshakes_given_up > 0) loop->Stop();
    });
    loop->AddOnce(kPatience, [&] { loop->Stop(); });
    ASSERT_TRUE(loop->Run().ok());
    ASSERT_EQ((*tunnel)->device()->counters().handshakes_given_up, 1u);
    EXPECT_EQ((*tunnel)->port() == before, fixed);
  }
}

TEST(DeadlineTimerTest, ComesUpAtTheNearestDeadline) {
  auto loop = *EventLoop::Create();
  int calls = 0;
  auto timer = DeadlineTimer::Create(*loop, [&] {
    ++calls;
    loop->Stop();
  });
  ASSERT_TRUE(timer.ok());
  const int64_t now = RealClock().MonotonicNs();
  (*timer)->At(now + 3'600'000'000'000);
  (*timer)->At(now + 1'000'000);
  (*timer)->At(DeadlineTimer::kNever);
  ASSERT_TRUE(loop->Run().ok());
  EXPECT_EQ(calls, 1);
  EXPECT_GE(RealClock().MonotonicNs(), now + 1'000'000);
  (*timer)->At(0);  // past
  ASSERT_TRUE(loop->Run().ok());
  EXPECT_EQ(calls, 2);
}

TEST(EndpointResolverTest, TellsOnTheLoop) {
  auto loop = *EventLoop::Create();
  EndpointResolver resolver(*loop);
  Endpoint found;
  resolver.Resolve({"localhost", 51820}, [&](const absl::StatusOr<Endpoint>& endpoint) {
    ASSERT_TRUE(endpoint.ok()) << endpoint.status();
    found = *endpoint;
    loop->Stop();
  });
  ASSERT_TRUE(loop->Run().ok());
  EXPECT_EQ(found.port, 51820);
  EXPECT_TRUE(found.address == IpAddress::FromV4({127, 0, 0, 1}) || found.address == *IpAddress::Parse("::1"));
}

TEST(EndpointResolverTest, AddressesNeedNoNameServer) {
  EXPECT_EQ(ResolveEndpoint({"2001:db8::1", 1})->ToString(), "[2001:db8::1]:1");
  EXPECT_EQ(ResolveEndpoint({"192.0.2.1", 2})->ToString(), "192.0.2.1:2");
}

TEST(EndpointResolverTest, IsGoneBeforeTheAnswer) {
  auto loop = *EventLoop::Create();
  {
    EndpointResolver resolver(*loop);
    resolver.Resolve({"localhost", 1}, [](const absl::StatusOr<Endpoint>&) { FAIL(); });
  }
  loop->AddOnce(absl::Milliseconds(50), [&] { loop->Stop(); });
  EXPECT_TRUE(loop->Run().ok());
}

}  // namespace
}  // namespace lattice::tunnel
