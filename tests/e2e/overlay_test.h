// The ground of the end-to-end tests: one WireguardPair per test binary, one latticed-dp per test on the
// node's wg0. EXPECT_… helpers say what an operator would try: curl, ping, a datagram.
#ifndef TESTS_E2E_OVERLAY_TEST_H_
#define TESTS_E2E_OVERLAY_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tcp_server.h"
#include "tests/testing/udp.h"
#include "tests/testing/wait_until.h"
#include "tests/testing/wireguard_pair.h"

namespace lattice::testing {

class OverlayTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto pair = WireguardPair::Create();
    ASSERT_TRUE(pair.ok()) << pair.status();
    pair_ = std::move(*pair);
  }
  static void TearDownTestSuite() { pair_ = nullptr; }
  void SetUp() override { ASSERT_NE(pair_, nullptr); }
  void TearDown() override {
    if (HasFailure() && dp_ != nullptr) {
      std::cerr << "latticed-dp said:\n" << dp_->log();
      for (const AuditRecord& record : dp_->Records()) std::cerr << record;
    }
    // Without the program the next test begins with an open wg0.
    dp_ = nullptr;
  }

  const NetNamespace& node() const { return pair_->node(); }
  const NetNamespace& peer() const { return pair_->peer(); }

  // latticed-dp on the node's wg0, ready.
  void StartDp(std::vector<std::string> args) {
    dp_ = std::make_unique<LatticedDp>(node(), std::move(args));
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  // Servers on the peer (and on the node), for the time of the test.
  UdpServer* UdpEcho(const NetNamespace& ns, const std::string& ip, uint16_t port) {
    return AddUdp(UdpServer::Create(ns, {ip, port}, /*echo=*/true));
  }
  UdpServer* UdpSink(const NetNamespace& ns, const std::string& ip, uint16_t port) {
    return AddUdp(UdpServer::Create(ns, {ip, port}, /*echo=*/false));
  }
  TcpServer* Http(const NetNamespace& ns, uint16_t port) { return AddTcp(TcpServer::Http(ns, {"::", port})); }
  TcpServer* TcpEcho(const NetNamespace& ns, const std::string& ip, uint16_t port) {
    return AddTcp(TcpServer::Echo(ns, {ip, port}));
  }

  static CommandResult Curl(const NetNamespace& ns, const std::string& url, int seconds = 2) {
    return RunCommand(ns.Inside({"curl", "-sS", "--max-time", std::to_string(seconds), url}));
  }
  static CommandResult Ping(const NetNamespace& ns, const std::string& ip, std::vector<std::string> options = {}) {
    std::vector<std::string> argv = {"ping", "-n", "-c1", "-W1"};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back(ip);
    return RunCommand(ns.Inside(std::move(argv)));
  }

  static std::unique_ptr<WireguardPair> pair_;
  std::unique_ptr<LatticedDp> dp_;

 private:
  UdpServer* AddUdp(absl::StatusOr<std::unique_ptr<UdpServer>> server) {
    EXPECT_TRUE(server.ok()) << server.status();
    udp_.push_back(std::move(server).value());
    return udp_.back().get();
  }
  TcpServer* AddTcp(absl::StatusOr<std::unique_ptr<TcpServer>> server) {
    EXPECT_TRUE(server.ok()) << server.status();
    tcp_.push_back(std::move(server).value());
    return tcp_.back().get();
  }
  std::vector<std::unique_ptr<UdpServer>> udp_;
  std::vector<std::unique_ptr<TcpServer>> tcp_;
};

inline std::unique_ptr<WireguardPair> OverlayTest::pair_;

}  // namespace lattice::testing

#endif  // TESTS_E2E_OVERLAY_TEST_H_
