// Our engine against wireguard-go: each begins the handshake, with and without a preshared key, several peers, a port
// that changes, a path that loses, repeats and reorders. What `wg show` says on the other side agrees with ours.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/wireguard_interop_fixture.h"
#include "tests/testing/command.h"
#include "tests/testing/seed.h"
#include "userspace/base/clock.h"

namespace lattice::testing {
namespace {

using wireguard::PeerStatus;
using wireguard::PresharedKey;
using wireguard::PublicKey;

constexpr char kGoAddress[] = "10.42.0.10", kGoAddress6[] = "fd42::10";

class WireguardInterop : public ::testing::Test {
 protected:
  void SetUp() override {
    auto go = WireguardGo::Create();
    ASSERT_TRUE(go.ok()) << go.status();
    go_ = std::move(*go);
  }

  std::unique_ptr<InteropDriver> NewDriver(const std::string& address, const PathFaults& faults = {},
                                           const wireguard::DeviceOptions& options = {}) {
    auto driver = InteropDriver::Create(go_->ns(), address, faults, options);
    EXPECT_TRUE(driver.ok()) << driver.status();
    return std::move(driver).value();
  }

  // Each side knows the other; ours also the endpoint if it is to begin, wireguard-go if that is.
  void Connect(InteropDriver& driver, const std::string& allowed, bool we_begin, const PresharedKey& preshared = {}) {
    wireguard::PeerConfig config{.public_key = go_->public_key(), .preshared_key = preshared};
    if (we_begin) config.endpoint = go_->endpoint();
    for (const char* prefix : {"10.42.0.10/32", "fd42::10/128"}) {
      config.allowed_ips.push_back(IpPrefix::Parse(prefix).value());
    }
    const absl::Status set = driver.device().SetPeer(config, RealClock().MonotonicNs());
    ASSERT_TRUE(set.ok()) << set;
    std::vector<std::string> argv = {"set",         "wg0",  "peer", driver.device().public_key().ToString(),
                                     "allowed-ips", allowed};
    if (!we_begin) {
      argv.push_back("endpoint");
      argv.push_back(absl::StrCat("127.0.0.1:", driver.port()));
    }
    std::string input;
    if (!preshared.is_zero()) {
      argv.push_back("preshared-key");
      argv.push_back("/dev/stdin");
      PublicKey text;
      std::copy(preshared.data(), preshared.data() + preshared.size(), text.bytes.begin());
      input = text.ToString();
    }
    const auto done = go_->Wg(argv, input);
    ASSERT_TRUE(done.ok()) << done.status();
  }

  static bool PingFromUs(InteropDriver& driver, const std::string& from, const std::string& to, uint16_t sequence,
                         size_t bytes = 56) {
    driver.SendPackets({EchoRequestPacket(from, to, sequence, bytes)});
    return driver.RunUntil([&] {
      return std::any_of(driver.delivered().begin(), driver.delivered().end(),
                         [&](const std::string& packet) { return IsEchoReply(packet, sequence); });
    });
  }

  // `ping` on the other side, while ours runs.
  CommandResult PingFromGo(InteropDriver& driver, const std::string& to) {
    CommandResult result;
    std::atomic<bool> ended = false;
    std::thread ping([&] {
      result = RunCommand(go_->ns().Inside({"ping", "-n", "-c3", "-i0.2", "-W15", to}));
      ended = true;
    });
    driver.RunUntil([&] { return ended.load(); }, absl::Seconds(40));
    ping.join();
    return result;
  }

  // Bytes either way and the time of the handshake are what the other side has too.
  void ExpectWgShowAgrees(InteropDriver& driver) {
    std::string why;
    EXPECT_TRUE(driver.RunUntil([&] {
      const std::vector<std::string> line = go_->PeerLine(driver.device().public_key());
      const PeerStatus ours = driver.device().Peers().at(0);
      if (line.size() != 8) return false;
      why = absl::StrCat("theirs: endpoint ", line[2], " handshake ", line[4], " rx ", line[5], " tx ", line[6],
                         "; ours: rx ", ours.rx_bytes, " tx ", ours.tx_bytes);
      int64_t handshake = 0;
      return absl::SimpleAtoi(line[4], &handshake) &&
             std::abs(handshake - absl::ToUnixSeconds(ours.last_handshake)) <= 1 &&
             line[5] == absl::StrCat(ours.tx_bytes) && line[6] == absl::StrCat(ours.rx_bytes) &&
             line[2] == absl::StrCat("127.0.0.1:", driver.port());
    })) << why;
  }

  std::unique_ptr<WireguardGo> go_;
};

TEST_F(WireguardInterop, WeBegin) {
  auto driver = NewDriver("10.42.0.1");
  Connect(*driver, "10.42.0.1/32,fd42::1/128", /*we_begin=*/true);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 1));
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 2, /*bytes=*/1392));
  EXPECT_TRUE(PingFromUs(*driver, "fd42::1", kGoAddress6, 3));
  const CommandResult back = PingFromGo(*driver, "10.42.0.1");
  EXPECT_TRUE(back.ok()) << back;
  EXPECT_EQ(driver->device().counters().initiations_sent, 1u);
  ExpectWgShowAgrees(*driver);
}

TEST_F(WireguardInterop, TheOtherSideBegins) {
  auto driver = NewDriver("10.42.0.1");
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/false);
  const CommandResult ping = PingFromGo(*driver, "10.42.0.1");
  EXPECT_TRUE(ping.ok()) << ping;
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 1));
  EXPECT_EQ(driver->device().counters().initiations_sent, 0u);
  ExpectWgShowAgrees(*driver);
}

TEST_F(WireguardInterop, WithAPresharedKeyEitherBegins) {
  PresharedKey key;
  wireguard::SystemRandom().Fill(absl::MakeSpan(key.data(), key.size()));
  auto first = NewDriver("10.42.0.1");
  Connect(*first, "10.42.0.1/32", /*we_begin=*/true, key);
  EXPECT_TRUE(PingFromUs(*first, "10.42.0.1", kGoAddress, 1));
  ExpectWgShowAgrees(*first);
  auto second = NewDriver("10.42.0.2");
  Connect(*second, "10.42.0.2/32", /*we_begin=*/false, key);
  const CommandResult ping = PingFromGo(*second, "10.42.0.2");
  EXPECT_TRUE(ping.ok()) << ping;
  ExpectWgShowAgrees(*second);
}

TEST_F(WireguardInterop, AnotherPresharedKeyMakesNoSession) {
  auto driver = NewDriver("10.42.0.1");
  PresharedKey key;
  key.data()[0] = 1;
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/true, key);
  ASSERT_TRUE(
      go_->Wg({"set", "wg0", "peer", driver->device().public_key().ToString(), "preshared-key", "/dev/null"}).ok());
  driver->SendPackets({EchoRequestPacket("10.42.0.1", kGoAddress, 1)});
  EXPECT_TRUE(driver->RunUntil([&] { return driver->device().counters().of(wireguard::ReceiveResult::kForged) > 0; }));
  EXPECT_FALSE(driver->device().Peers().at(0).has_session);
}

TEST_F(WireguardInterop, TwoPeersAtOnce) {
  auto first = NewDriver("10.42.0.1");
  auto second = NewDriver("10.42.0.2");
  Connect(*first, "10.42.0.1/32", /*we_begin=*/true);
  Connect(*second, "10.42.0.2/32", /*we_begin=*/true);
  for (uint16_t i = 1; i <= 5; ++i) {
    EXPECT_TRUE(PingFromUs(*first, "10.42.0.1", kGoAddress, i));
    EXPECT_TRUE(PingFromUs(*second, "10.42.0.2", kGoAddress, i));
  }
  ExpectWgShowAgrees(*first);
  ExpectWgShowAgrees(*second);
}

TEST_F(WireguardInterop, OurPortChanges) {
  auto driver = NewDriver("10.42.0.1");
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/true);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 1));
  const uint16_t before = driver->port();
  ASSERT_TRUE(driver->Rebind(go_->ns()).ok());
  ASSERT_NE(driver->port(), before);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 2));
  const CommandResult back = PingFromGo(*driver, "10.42.0.1");
  EXPECT_TRUE(back.ok()) << back;
  EXPECT_EQ(driver->device().counters().initiations_sent, 1u);
  ExpectWgShowAgrees(*driver);
}

TEST_F(WireguardInterop, TheirPortChanges) {
  auto driver = NewDriver("10.42.0.1");
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/true);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 1));
  ASSERT_TRUE(go_->Wg({"set", "wg0", "listen-port", "51821"}).ok());
  // Theirs comes from the new port, and so ours goes there.
  const CommandResult back = PingFromGo(*driver, "10.42.0.1");
  EXPECT_TRUE(back.ok()) << back;
  EXPECT_EQ(driver->device().Peers().at(0).endpoint->port, 51821);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 2));
}

TEST_F(WireguardInterop, BurstsGoOutAsSegmentsOfOneSend) {
  auto driver = NewDriver("10.42.0.1");
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/true);
  EXPECT_TRUE(PingFromUs(*driver, "10.42.0.1", kGoAddress, 0));
  std::vector<std::string> burst;
  for (uint16_t i = 1; i <= 44; ++i) burst.push_back(EchoRequestPacket("10.42.0.1", kGoAddress, i, 1392));
  driver->SendPackets(burst);
  EXPECT_TRUE(driver->RunUntil([&] { return driver->delivered().size() == 45; })) << driver->delivered().size();
  ExpectWgShowAgrees(*driver);
}

// Their code takes our cookie replies and comes again with a MAC2 that we take, as initiator and as responder.
TEST_F(WireguardInterop, UnderLoadTheOtherSideBringsOurCookie) {
  wireguard::DeviceOptions always;
  always.handshakes_per_second = 0;
  auto responder = NewDriver("10.42.0.1", {}, always);
  Connect(*responder, "10.42.0.1/32", /*we_begin=*/false);
  const CommandResult ping = PingFromGo(*responder, "10.42.0.1");
  EXPECT_TRUE(ping.ok()) << ping;
  EXPECT_GE(responder->device().counters().of(wireguard::ReceiveResult::kCookieSent), 1u);
  EXPECT_EQ(responder->device().counters().of(wireguard::ReceiveResult::kInitiation), 1u);

  auto initiator = NewDriver("10.42.0.2", {}, always);
  Connect(*initiator, "10.42.0.2/32", /*we_begin=*/true);
  EXPECT_TRUE(PingFromUs(*initiator, "10.42.0.2", kGoAddress, 1));
  EXPECT_GE(initiator->device().counters().of(wireguard::ReceiveResult::kCookieSent), 1u);
  EXPECT_EQ(initiator->device().counters().of(wireguard::ReceiveResult::kResponse), 1u);
}

TEST_F(WireguardInterop, BadPathDeliversEachPacketAtMostOnce) {
  const uint64_t seed = TestSeed();
  auto driver = NewDriver("10.42.0.1", {.loss = 0.2, .duplicate = 0.2, .reorder = 0.2, .seed = seed});
  Connect(*driver, "10.42.0.1/32", /*we_begin=*/true);
  // Handshake messages are lost too: the retries of a real clock take some seconds.
  ASSERT_TRUE(driver->RunUntil(
      [&] {
        if (driver->device().Peers().at(0).has_session) return true;
        if (driver->device().Peers().at(0).handshake_attempts == 0) {
          driver->SendPackets({EchoRequestPacket("10.42.0.1", kGoAddress, 0)});
        }
        return false;
      },
      absl::Seconds(90)));
  constexpr uint16_t kRequests = 500;
  for (uint16_t i = 1; i <= kRequests; ++i) {
    driver->SendPackets({EchoRequestPacket("10.42.0.1", kGoAddress, i)});
    driver->RunUntil([turns = 0]() mutable { return turns++ > 0; });
  }
  std::vector<int> answered(kRequests + 1);
  const auto count = [&] {
    std::fill(answered.begin(), answered.end(), 0);
    for (const std::string& packet : driver->delivered()) {
      for (uint16_t i = 0; i <= kRequests; ++i) answered[i] += IsEchoReply(packet, i);
    }
    return std::count_if(answered.begin(), answered.end(), [](int n) { return n > 0; });
  };
  // Some 64 % there and back; a third is enough to tell that the tunnel works.
  EXPECT_TRUE(driver->RunUntil([&] { return count() > kRequests / 3; })) << count();
  EXPECT_EQ(*std::max_element(answered.begin(), answered.end()), 1);
  EXPECT_GT(driver->device().counters().of(wireguard::ReceiveResult::kReplayed), 0u);
}

}  // namespace
}  // namespace lattice::testing
