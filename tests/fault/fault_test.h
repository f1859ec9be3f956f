// The ground of the fault tests: a namespace with a TUN called wg0 whose other end is the test, so that
// each packet that gets out is seen and nothing else is in the way, and latticed-dp on it.
#ifndef TESTS_FAULT_FAULT_TEST_H_
#define TESTS_FAULT_FAULT_TEST_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/command.h"
#include "tests/testing/latticed_dp.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tun.h"
#include "tests/testing/wait_until.h"

namespace lattice::testing {

class FaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ns = NetNamespace::Create("fault");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = std::move(*ns);
    MakeDevice();
  }
  void TearDown() override {
    if (HasFailure() && dp_ != nullptr) std::cerr << "latticed-dp said:\n" << dp_->log();
    dp_ = nullptr;
  }

  void MakeDevice() {
    auto tun = TunDevice::Create(*ns_, "wg0", {"192.0.2.1/24", "2001:db8::1/64"});
    ASSERT_TRUE(tun.ok()) << tun.status();
    tun_ = std::move(*tun);
  }
  void StartDp(std::vector<std::string> args) {
    dp_ = std::make_unique<LatticedDp>(*ns_, std::move(args));
    const absl::Status started = dp_->Start();
    ASSERT_TRUE(started.ok()) << started;
  }

  // One datagram to each of `count` ports from `first_port` on, all from `source_port`: that many flows.
  void Send(const std::string& destination, uint16_t source_port, uint16_t first_port, int count) {
    auto fd = BoundSocket(*ns_, SOCK_DGRAM, {"192.0.2.1", source_port});
    ASSERT_TRUE(fd.ok()) << fd.status();
    for (int i = 0; i < count; ++i) {
      const SocketAddress to(destination, static_cast<uint16_t>(first_port + i));
      ASSERT_EQ(::sendto(fd->get(), "12345678", 8, 0, to.get(), to.length()), 8);
    }
  }

  // Waits until start records of `count` flows to `destination` are there; each flow must be told once.
  void ExpectStartRecords(const std::string& destination, size_t count, absl::Duration deadline = absl::Seconds(30)) {
    const auto wanted = [&](const AuditRecord& r) { return r["event"] == "start" && r["dst_ip"] == destination; };
    std::vector<AuditRecord> starts;
    WaitUntil([&] { return (starts = dp_->Records(wanted)).size() >= count; }, deadline);
    std::set<std::pair<uint64_t, uint64_t>> flows;
    for (const AuditRecord& start : starts) flows.insert({start.Number("srcPort"), start.Number("dst_port")});
    EXPECT_EQ(starts.size(), count);
    EXPECT_EQ(flows.size(), count);
  }

  double Enforcing() const { return dp_->Scrape().Sum("lattice_dp_enforcing"); }

  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<TunDevice> tun_;
  std::unique_ptr<LatticedDp> dp_;
};

}  // namespace lattice::testing

#endif  // TESTS_FAULT_FAULT_TEST_H_
