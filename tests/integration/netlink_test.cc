#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <vector>

#include "tests/testing/netns.h"
#include "tests/testing/tun.h"
#include "userspace/netlink/link_monitor.h"
#include "userspace/netlink/link_stats.h"

namespace lattice::netlink {
namespace {

using lattice::testing::NetNamespace;
using lattice::testing::TunDevice;

class NetlinkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto ns = NetNamespace::Create("netlink");
    ASSERT_TRUE(ns.ok()) << ns.status();
    ns_ = *std::move(ns);
    absl::StatusOr<std::unique_ptr<LinkMonitor>> monitor;
    ns_->Run([&] { monitor = LinkMonitor::Create(); });
    ASSERT_TRUE(monitor.ok()) << monitor.status();
    monitor_ = *std::move(monitor);
  }
  // The events that wait, of one device.
  std::vector<LinkEvent> Drain(const std::string& name) {
    std::vector<LinkEvent> events;
    const absl::Status status = monitor_->Drain([&](const LinkEvent& event) {
      if (event.name == name) events.push_back(event);
    });
    EXPECT_TRUE(status.ok()) << status;
    return events;
  }

  std::unique_ptr<NetNamespace> ns_;
  std::unique_ptr<LinkMonitor> monitor_;
};

TEST_F(NetlinkTest, MonitorTellsThatADeviceComesGoesUpAndIsGone) {
  EXPECT_TRUE(Drain("lat0").empty());
  auto tun = TunDevice::Create(*ns_, "lat0", {"192.0.2.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  std::vector<LinkEvent> events = Drain("lat0");
  ASSERT_GE(events.size(), 2u);
  EXPECT_FALSE(events.front().up);
  EXPECT_TRUE(events.back().up);
  EXPECT_NE(events.back().ifindex, 0);
  for (const LinkEvent& event : events) EXPECT_FALSE(event.gone || event.overrun);

  tun->reset();
  pollfd ready{monitor_->fd(), POLLIN, 0};
  EXPECT_EQ(poll(&ready, 1, 10'000), 1);
  events = Drain("lat0");
  ASSERT_FALSE(events.empty());
  EXPECT_TRUE(events.back().gone);
}

TEST_F(NetlinkTest, MonitorReportsAnOverrunInsteadOfLosingEventsSilently) {
  // Far more than the socket's buffer holds.
  std::string lines;
  for (int i = 0; i < 600; ++i) lines += "link set lo mtu " + std::to_string(1500 + i % 2) + "\n";
  bool overrun = false;
  for (int round = 0; round < 20 && !overrun; ++round) {
    ASSERT_TRUE(ns_->Ip(lines).ok());
    if (round % 4 != 3) continue;
    ASSERT_TRUE(monitor_->Drain([&](const LinkEvent& event) { overrun = overrun || event.overrun; }).ok());
  }
  EXPECT_TRUE(overrun);
  EXPECT_TRUE(Drain("lo").empty()) << "and it goes on working";
}

TEST_F(NetlinkTest, StatsCountWhatCrossedTheDevice) {
  auto tun = TunDevice::Create(*ns_, "lat0", {"192.0.2.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  ns_->Run([&] {
    const auto before = ReadLinkStats("lat0");
    ASSERT_TRUE(before.ok()) << before.status();
    // Version 4, 20 bytes, no protocol: enough to be counted on receipt.
    std::string packet(20, '\0');
    packet[0] = 0x45;
    ASSERT_TRUE((*tun)->Write(packet).ok());
    const auto after = ReadLinkStats("lat0");
    ASSERT_TRUE(after.ok()) << after.status();
    EXPECT_EQ(after->rx_packets, before->rx_packets + 1);
    EXPECT_EQ(after->rx_bytes, before->rx_bytes + 20);
    EXPECT_TRUE(absl::IsNotFound(ReadLinkStats("lat9").status()));
  });
}

}  // namespace
}  // namespace lattice::netlink
