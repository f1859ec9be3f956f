// The counters of the data plane and those of the device are two views of the same packets, with
// segmentation offload too.
#include <netinet/udp.h>

#include "tests/e2e/overlay_test.h"

namespace lattice::testing {
namespace {

class AccountingTest : public OverlayTest {
 protected:
  struct View {
    double out_packets, out_bytes, in_packets, in_bytes;
    bool operator==(const View&) const = default;
  };
  // What our programs let through since the daemon's tables were made.
  View Ours() const {
    const MetricsText metrics = dp_->Scrape();
    const auto sum = [&](const char* name, const char* direction) {
      return metrics.Sum(name, {{"iface", "wg0"}, {"direction", direction}, {"verdict", "allow"}});
    };
    return {sum("lattice_dp_wire_packets_total", "egress"), sum("lattice_dp_bytes_total", "egress"),
            sum("lattice_dp_wire_packets_total", "ingress"), sum("lattice_dp_bytes_total", "ingress")};
  }
  View Device() const {
    auto counters = ReadLinkCounters(node(), "wg0");
    EXPECT_TRUE(counters.ok()) << counters.status();
    EXPECT_EQ(counters->tx_dropped, tx_dropped_) << "the TUN's queue overran: that is a bucket of its own";
    return {double(counters->tx_packets), double(counters->tx_bytes), double(counters->rx_packets),
            double(counters->rx_bytes)};
  }
  static View Minus(const View& a, const View& b) {
    return {a.out_packets - b.out_packets, a.out_bytes - b.out_bytes, a.in_packets - b.in_packets,
            a.in_bytes - b.in_bytes};
  }

  void Begin(std::vector<std::string> args) {
    ASSERT_NO_FATAL_FAILURE(StartDp(std::move(args)));
    auto counters = ReadLinkCounters(node(), "wg0");
    ASSERT_TRUE(counters.ok()) << counters.status();
    tx_dropped_ = counters->tx_dropped;
    device_ = Device();
    ours_ = Ours();
  }
  // The device counts a packet when wireguard-go has taken it: a moment after our program.
  void ExpectIdentity() {
    View ours{}, device{};
    const bool equal = WaitUntil(
        [&] {
          ours = Minus(Ours(), ours_);
          device = Minus(Device(), device_);
          return ours == device;
        },
        absl::Seconds(10));
    EXPECT_TRUE(equal) << "ours/device: out packets " << ours.out_packets << "/" << device.out_packets << ", out bytes "
                       << ours.out_bytes << "/" << device.out_bytes << ", in packets " << ours.in_packets << "/"
                       << device.in_packets << ", in bytes " << ours.in_bytes << "/" << device.in_bytes;
    EXPECT_GT(ours.out_packets, 0);
  }

 private:
  uint64_t tx_dropped_ = 0;
  View device_{}, ours_{};
};

TEST_F(AccountingTest, TenSegmentedSendsAreTenPacketsAndAHundredOnTheWire) {
  UdpServer* sink = UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(Begin({"--egress-allow=10.42.0.10/32", "--flow-idle-timeout=1s"}));
  UniqueFd fd = node().Socket(AF_INET, SOCK_DGRAM, 0);
  const SocketAddress to("10.42.0.10", 7000);
  const int segment = 1200;
  ASSERT_EQ(::setsockopt(fd.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
  const std::string payload(12'000, 'g');
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(::sendto(fd.get(), payload.data(), payload.size(), 0, to.get(), to.length()), 12'000);
    // One send at a time: a hundred datagrams at once overrun the peer's WireGuard socket (208 KiB) on a busy machine.
    ASSERT_TRUE(WaitUntil([&] { return sink->datagrams() == 10u * (i + 1); })) << sink->datagrams();
  }
  ExpectIdentity();
  const auto end =
      dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "end" && r["dst_port"] == "7000"; });
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(end->Number("packetsOut"), 10u);
  EXPECT_EQ(end->Number("wirePacketsOut"), 100u);
  EXPECT_EQ(end->Number("bytesOut"), 100u * (1200 + 28));
}

TEST_F(AccountingTest, AllowedAndDeniedTrafficOfEveryKindAddsUpToTheDevicesCounters) {
  auto http = TcpServer::Http(peer(), {"10.42.0.10", 80}, std::string(3'000'000, 'b'));
  ASSERT_TRUE(http.ok()) << http.status();
  UdpEcho(peer(), "10.42.0.10", 7000);
  UdpEcho(peer(), "fd42::10", 7000);
  Http(node(), 8080);
  ASSERT_NO_FATAL_FAILURE(Begin({"--egress-allow=10.42.0.10/32,fd42::10"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/", 20).out.size(), 3'000'000u);
  for (const char* address : {"10.42.0.10", "fd42::10"}) {
    EXPECT_TRUE(UdpEchoes(node(), {address, 7000}, 100));
    EXPECT_TRUE(UdpEchoes(node(), {address, 7000}, 4000));
    EXPECT_TRUE(Ping(node(), address).ok());
  }
  EXPECT_EQ(Curl(peer(), "http://10.42.0.1:8080/").out, "hello\n");
  EXPECT_FALSE(Ping(node(), "10.42.0.20").ok());
  EXPECT_EQ(Curl(node(), "http://203.0.113.1/", 1).exit_code, 28);
  ExpectIdentity();
}

// A sender of TCP segments of up to 64 KiB: our program sees few large ones, the device many small ones.
TEST_F(AccountingTest, UploadedTcpIsCountedInWirePackets) {
  ASSERT_NO_FATAL_FAILURE(Begin({"--egress-allow=10.42.0.10/32"}));
  auto server = ChildProcess::Start({.argv = {"iperf3", "-s", "-1", "--forceflush"}, .netns = peer().path()});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_TRUE((*server)->WaitForOutput("Server listening", absl::Seconds(10)));
  CommandResult client = RunCommand(node().Inside({"iperf3", "-c", "10.42.0.10", "-n", "10M"}));
  ASSERT_TRUE(client.ok()) << client;
  EXPECT_TRUE((*server)->Wait(absl::Seconds(10)).has_value());
  ExpectIdentity();
}

}  // namespace
}  // namespace lattice::testing
