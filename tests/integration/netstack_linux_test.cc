// Our engine against Linux's TCP over a TUN, in a namespace of its own: both roles, both families, with and without
// packets lost, reordered, duplicated and corrupted between the two (here, since not every kernel has netem).
// The engine runs on the test's thread; the kernel's side uses plain sockets on another.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/netns.h"
#include "tests/testing/netstack_network.h"
#include "tests/testing/seed.h"
#include "tests/testing/tun.h"
#include "userspace/base/clock.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {
namespace {

using netstack::CloseReason;
using netstack::kMillisecond;
using netstack::kSecond;

constexpr char kKernelV4[] = "192.0.2.1", kEngineV4[] = "192.0.2.2";
constexpr char kKernelV6[] = "2001:db8::1", kEngineV6[] = "2001:db8::2";
constexpr uint16_t kPort = 5001;
constexpr uint64_t kUpSeed = 11, kDownSeed = 12;  // of the engine's and the kernel's stream

struct Harm {
  double loss = 0, duplicate = 0, corrupt = 0, swap = 0;
};

// Engine and TUN, packet by packet.
class Engine : public netstack::PacketSink {
 public:
  Engine(int tun, const Harm& harm, uint64_t seed, netstack::Options options)
      : tun_(tun), harm_(harm), random_(seed), host_(std::move(options)) {}

  SimHost& host() { return host_; }
  size_t Room() override { return netstack::kMaxBurst; }
  void Take(const netstack::PacketBurst& burst) override {
    for (size_t i = 0; i < burst.count; ++i) {
      std::string packet(burst.PacketBytes(i), '\0');
      burst.Copy(i, reinterpret_cast<uint8_t*>(packet.data()));
      Pass(std::move(packet), out_);
    }
  }
  // Until `done`; false after `time`, which only a broken engine needs.
  bool Run(const std::function<bool()>& done, int64_t time) {
    const int64_t end = Now() + time;
    for (;;) {
      for (std::string packet(65536, '\0');;) {
        const ssize_t n = ::read(tun_, packet.data(), packet.size());
        if (n <= 0) break;
        Pass(packet.substr(0, static_cast<size_t>(n)), in_);
      }
      for (; !in_.empty(); in_.pop_front()) {
        host_.stack().Receive({reinterpret_cast<const uint8_t*>(in_.front().data()), in_.front().size()}, Now());
      }
      host_.stack().Poll(Now(), *this);
      for (; !out_.empty(); out_.pop_front()) {
        // A corrupted header is refused with EINVAL: lost, as on a wire.
        const ssize_t n = ::write(tun_, out_.front().data(), out_.front().size());
        EXPECT_TRUE(n >= 0 || errno == EINVAL) << strerror(errno);
      }
      if (done()) return true;
      const int64_t now = Now();
      if (now > end) return false;
      const int64_t wait = std::min(host_.stack().NextDeadline() - now, 100 * kMillisecond);
      pollfd ready{tun_, POLLIN, 0};
      const timespec timeout{0, std::max<int64_t>(wait, 0)};
      ::ppoll(&ready, 1, &timeout, nullptr);
    }
  }

 private:
  static int64_t Now() { return RealClock().MonotonicNs(); }
  bool Chance(double p) { return p > 0 && std::uniform_real_distribution<double>()(random_) < p; }
  void Pass(std::string packet, std::deque<std::string>& to) {
    if (Chance(harm_.loss)) return;
    if (Chance(harm_.corrupt)) packet[random_() % packet.size()] ^= static_cast<char>(1 + random_() % 255);
    if (Chance(harm_.duplicate)) to.push_back(packet);
    if (!to.empty() && Chance(harm_.swap)) {
      to.insert(to.end() - 1, std::move(packet));
    } else {
      to.push_back(std::move(packet));
    }
  }

  const int tun_;
  const Harm harm_;
  std::mt19937_64 random_;
  SimHost host_;
  std::deque<std::string> in_, out_;
};

// The kernel's side of one connection: sends a stream and reads one, both at once.
struct KernelPeer {
  uint64_t send_bytes = 0, received = 0;
  bool mismatch = false, finished = false;
  int error = 0;

  void Exchange(int fd) {
    std::thread writer([&] {
      std::vector<uint8_t> piece(64 * 1024);
      for (uint64_t sent = 0; sent < send_bytes;) {
        const auto take = static_cast<size_t>(std::min<uint64_t>(piece.size(), send_bytes - sent));
        FillStream(kDownSeed, sent, {piece.data(), take});
        const ssize_t n = ::send(fd, piece.data(), take, MSG_NOSIGNAL);
        if (n < 0) {
          error = errno;
          return;
        }
        sent += static_cast<uint64_t>(n);
      }
      ::shutdown(fd, SHUT_WR);
    });
    std::vector<uint8_t> piece(64 * 1024);
    ssize_t n;
    while ((n = ::recv(fd, piece.data(), piece.size(), 0)) > 0) {
      mismatch |= !MatchesStream(kUpSeed, received, {piece.data(), static_cast<size_t>(n)});
      received += static_cast<uint64_t>(n);
    }
    finished = n == 0;
    writer.join();
  }
};

struct Case {
  std::string name;
  bool v6 = false, engine_connects = true;
  Harm harm;
  uint64_t up = 8 << 20, down = 8 << 20;
  netstack::Congestion congestion = netstack::Congestion::kBbr;
};

std::string CaseName(const ::testing::TestParamInfo<Case>& info) {
  return info.param.name;
}

sockaddr_storage Address(const char* text, bool v6, socklen_t* length) {
  sockaddr_storage storage{};
  const IpAddress address = *IpAddress::Parse(text);
  if (v6) {
    auto* in6 = reinterpret_cast<sockaddr_in6*>(&storage);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(kPort);
    std::memcpy(&in6->sin6_addr, address.bytes().data(), 16);
    *length = sizeof(*in6);
  } else {
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(kPort);
    std::memcpy(&in->sin_addr, address.bytes().data() + 12, 4);
    *length = sizeof(*in);
  }
  return storage;
}

class LinuxTcp : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::getuid() != 0) GTEST_SKIP() << "needs root: makes a namespace and a TUN device";
    auto ns = NetNamespace::Create("netstack");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = *std::move(ns);
    auto tun = TunDevice::Create(*ns_, "tun0", {std::string(kKernelV4) + "/24", std::string(kKernelV6) + "/64"});
    ASSERT_TRUE(tun.ok()) << tun.status();
    tun_ = *std::move(tun);
  }
  netstack::Options EngineOptions(bool v6) const {
    netstack::Options options;
    options.addresses = {*IpAddress::Parse(v6 ? kEngineV6 : kEngineV4)};
    return options;
  }

  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
};

class LinuxTransfer : public LinuxTcp, public ::testing::WithParamInterface<Case> {};

TEST_P(LinuxTransfer, WhatGoesInComesOut) {
  const Case& c = GetParam();
  netstack::Options options = EngineOptions(c.v6);
  options.congestion = c.congestion;
  Engine engine(tun_->fd(), c.harm, TestSeed(), options);
  socklen_t length = 0;
  const sockaddr_storage address =
      Address(c.engine_connects ? (c.v6 ? kKernelV6 : kKernelV4) : (c.v6 ? kEngineV6 : kEngineV4), c.v6, &length);
  UniqueFd fd = ns_->Socket(c.v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  ASSERT_TRUE(fd.ok());
  const StreamOptions stream{.send_bytes = c.up, .seed = kUpSeed, .peer_seed = kDownSeed};
  if (c.engine_connects) {
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0) << strerror(errno);
    ASSERT_EQ(::listen(fd.get(), 1), 0);
    engine.host().Connect({*IpAddress::Parse(c.v6 ? kKernelV6 : kKernelV4), kPort}, stream);
  } else {
    engine.host().Listen(kPort, stream);
  }
  KernelPeer peer{.send_bytes = c.down};
  std::atomic<bool> kernel_done = false;
  std::thread kernel([&] {
    if (c.engine_connects) {
      UniqueFd accepted(::accept(fd.get(), nullptr, nullptr));
      if (accepted.ok()) peer.Exchange(accepted.get());
    } else if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0) {
      peer.Exchange(fd.get());
    } else {
      peer.error = errno;
    }
    kernel_done = true;
  });
  const auto over = [&] {
    return kernel_done && engine.host().streams().size() == 1 && engine.host().streams()[0]->ended;
  };
  const bool done = engine.Run(over, 100 * kSecond);
  if (!done) {
    ::shutdown(fd.get(), SHUT_RDWR);
    for (const auto& s : engine.host().streams()) {
      if (s->connection != nullptr) s->connection->Abort();
      s->connection = nullptr;
    }
    engine.Run([&] { return kernel_done.load(); }, 20 * kSecond);
  }
  kernel.join();
  ASSERT_EQ(engine.host().streams().size(), 1u);
  const Stream& ours = *engine.host().streams()[0];
  EXPECT_TRUE(done) << ours.sent << " sent, " << ours.received << " received, kernel " << peer.received;
  EXPECT_EQ(peer.error, 0) << strerror(peer.error);
  EXPECT_TRUE(peer.finished);
  EXPECT_EQ(peer.received, c.up);
  EXPECT_FALSE(peer.mismatch);
  EXPECT_EQ(ours.received, c.down);
  EXPECT_FALSE(ours.mismatch);
  EXPECT_EQ(ours.reason, CloseReason::kFinished);
}

const Harm kSome = {.loss = 0.01, .duplicate = 0.01, .corrupt = 0.01, .swap = 0.02};

INSTANTIATE_TEST_SUITE_P(Ways, LinuxTransfer,
                         ::testing::Values(Case{.name = "ConnectV4"}, Case{.name = "ConnectV6", .v6 = true},
                                           Case{.name = "ListenV4", .engine_connects = false},
                                           Case{.name = "ListenV6", .v6 = true, .engine_connects = false},
                                           Case{.name = "ConnectV4Cubic", .congestion = netstack::Congestion::kCubic},
                                           Case{.name = "UploadOnly", .up = 64 << 20, .down = 0},
                                           Case{.name = "DownloadOnly", .up = 0, .down = 64 << 20},
                                           Case{.name = "HarmConnectV4", .harm = kSome},
                                           Case{.name = "HarmConnectV6", .v6 = true, .harm = kSome},
                                           Case{.name = "HarmListenV4", .engine_connects = false, .harm = kSome},
                                           Case{.name = "HarmListenV6Cubic",
                                                .v6 = true,
                                                .engine_connects = false,
                                                .harm = kSome,
                                                .congestion = netstack::Congestion::kCubic}),
                         CaseName);

// A closed port of Linux's says so, and so does one of ours.
TEST_F(LinuxTcp, ClosedPortsRefuseBothWays) {
  Engine engine(tun_->fd(), {}, 1, EngineOptions(false));
  Stream* stream = engine.host().Connect({*IpAddress::Parse(kKernelV4), kPort}, {});
  ASSERT_TRUE(engine.Run([&] { return stream->ended; }, 20 * kSecond));
  EXPECT_EQ(stream->reason, CloseReason::kRefused);

  UniqueFd fd = ns_->Socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = 0;
  const sockaddr_storage address = Address(kEngineV4, false, &length);
  std::atomic<int> error = -1;
  std::thread kernel(
      [&] { error = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0 ? 0 : errno; });
  EXPECT_TRUE(engine.Run([&] { return error >= 0; }, 20 * kSecond));
  kernel.join();
  EXPECT_EQ(error, ECONNREFUSED);
}

// SO_LINGER 0: Linux resets, the engine tells why.
TEST_F(LinuxTcp, ResetIsReported) {
  Engine engine(tun_->fd(), {}, 1, EngineOptions(false));
  engine.host().Listen(kPort, {.shut_down = false});
  UniqueFd fd = ns_->Socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = 0;
  const sockaddr_storage address = Address(kEngineV4, false, &length);
  std::atomic<bool> connected = false;
  std::thread kernel([&] {
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    connected = true;
  });
  ASSERT_TRUE(engine.Run([&] { return connected && engine.host().streams().size() == 1; }, 20 * kSecond));
  kernel.join();
  const linger now{1, 0};
  ASSERT_EQ(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
  fd.reset();
  ASSERT_TRUE(engine.Run([&] { return engine.host().streams()[0]->ended; }, 20 * kSecond));
  EXPECT_EQ(engine.host().streams()[0]->reason, CloseReason::kReset);
}

// What Linux negotiated with us.
TEST_F(LinuxTcp, LinuxSeesSackTimestampsAndScaling) {
  Engine engine(tun_->fd(), {}, 1, EngineOptions(false));
  engine.host().Listen(kPort, {.shut_down = false});
  UniqueFd fd = ns_->Socket(AF_INET, SOCK_STREAM, 0);
  socklen_t length = 0;
  const sockaddr_storage address = Address(kEngineV4, false, &length);
  std::atomic<bool> connected = false;
  std::thread kernel([&] {
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    connected = true;
  });
  ASSERT_TRUE(engine.Run([&] { return connected.load(); }, 20 * kSecond));
  kernel.join();
  tcp_info info{};
  socklen_t size = sizeof(info);
  ASSERT_EQ(::getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size), 0);
  EXPECT_EQ(info.tcpi_options & (TCPI_OPT_SACK | TCPI_OPT_TIMESTAMPS | TCPI_OPT_WSCALE),
            TCPI_OPT_SACK | TCPI_OPT_TIMESTAMPS | TCPI_OPT_WSCALE);
  EXPECT_EQ(info.tcpi_snd_mss, 1420u - 40 - 12);
}

}  // namespace
}  // namespace lattice::testing
