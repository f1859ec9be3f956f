// The ground the end-to-end tests stand on, proved without latticed-dp: what fails here is no
// fault of the data plane.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include "tests/testing/command.h"
#include "tests/testing/netns.h"
#include "tests/testing/sockets.h"
#include "tests/testing/tcp_server.h"
#include "tests/testing/tun.h"
#include "tests/testing/udp.h"
#include "tests/testing/wireguard_pair.h"

namespace lattice::testing {
namespace {

class WireguardPairTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto pair = WireguardPair::Create();
    ASSERT_TRUE(pair.ok()) << pair.status();
    pair_ = pair->release();
  }
  static void TearDownTestSuite() {
    delete pair_;
    pair_ = nullptr;
  }
  void SetUp() override { ASSERT_NE(pair_, nullptr); }
  static WireguardPair* pair_;
};
WireguardPair* WireguardPairTest::pair_ = nullptr;

TEST_F(WireguardPairTest, CarriesTcpAndUdpOfBothFamiliesAndAnswersForManyAddresses) {
  auto http = TcpServer::Http(pair_->peer(), {"::", 80});
  ASSERT_TRUE(http.ok()) << http.status();
  for (const char* url : {"http://10.42.0.10/", "http://10.42.0.20/", "http://203.0.113.77/", "http://[fd42::10]/",
                          "http://[2001:db8:f::99]/"}) {
    CommandResult curl = RunCommand(pair_->node().Inside({"curl", "-sS", "--max-time", "5", url}));
    EXPECT_EQ(curl.out, "hello\n") << curl;
  }
  for (const char* address : {"10.42.0.10", "198.51.100.3", "fd42::10"}) {
    auto echo = UdpServer::Create(pair_->peer(), {address, 7000}, true);
    ASSERT_TRUE(echo.ok()) << echo.status();
    EXPECT_TRUE(UdpEchoes(pair_->node(), {address, 7000}, 100)) << address;
    EXPECT_TRUE(UdpEchoes(pair_->node(), {address, 7000}, 4000)) << address;
  }
}

TEST_F(WireguardPairTest, RunsIperf3) {
  auto server = ChildProcess::Start({.argv = {"iperf3", "-s", "-1", "--forceflush"}, .netns = pair_->peer().path()});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_TRUE((*server)->WaitForOutput("Server listening", absl::Seconds(10)));
  CommandResult client = RunCommand(pair_->node().Inside({"iperf3", "-c", "10.42.0.10", "-n", "10M"}));
  EXPECT_TRUE(client.ok()) << client;
}

TEST_F(WireguardPairTest, ASelfClockedStreamLosesNothing) {
  auto echo = UdpServer::Create(pair_->peer(), {"10.42.0.10", 7000}, true);
  ASSERT_TRUE(echo.ok()) << echo.status();
  auto stream = UdpStream::Create(pair_->node(), {"10.42.0.1", 0}, {"10.42.0.10", 7000});
  ASSERT_TRUE(stream.ok()) << stream.status();
  while ((*stream)->answered() < 2000) absl::SleepFor(absl::Milliseconds(1));
  (*stream)->Stop();
  EXPECT_EQ((*stream)->answered(), (*stream)->sent());
  EXPECT_EQ((*echo)->datagrams(), (*stream)->sent());
}

TEST_F(WireguardPairTest, TheDeviceGoesAndComesBack) {
  ASSERT_TRUE(pair_->RemoveNodeDevice().ok());
  EXPECT_FALSE(ReadLinkCounters(pair_->node(), "wg0").ok());
  absl::Status restored = pair_->RestoreNodeDevice();
  ASSERT_TRUE(restored.ok()) << restored;
  EXPECT_TRUE(RunCommand(pair_->node().Inside({"ping", "-n", "-c1", "-W5", "10.42.0.10"})).ok());
  auto counters = ReadLinkCounters(pair_->node(), "wg0");
  ASSERT_TRUE(counters.ok()) << counters.status();
  EXPECT_GT(counters->tx_bytes, 0u);
}

TEST(TunDevice, GivesTheBytesOfASentPacket) {
  auto ns = NetNamespace::Create("tun");
  ASSERT_TRUE(ns.ok()) << ns.status();
  auto tun = TunDevice::Create(**ns, "wg0", {"192.0.2.1/24"});
  ASSERT_TRUE(tun.ok()) << tun.status();
  auto stream = UdpStream::Create(**ns, {"192.0.2.1", 0}, {"192.0.2.9", 9}, {.payload = 33, .window = 0});
  ASSERT_TRUE(stream.ok()) << stream.status();
  for (;;) {  // the kernel may send its own multicast first
    auto packet = (*tun)->Read(absl::Seconds(5));
    ASSERT_TRUE(packet.has_value());
    if ((*packet)[0] != 0x45) continue;
    EXPECT_EQ(packet->size(), 20u + 8u + 33u);
    break;
  }
}

TEST(NetNamespace, RemovesWhatADeadProcessLeftAndNothingElse) {
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  const std::string left = "lat-t-" + std::to_string(dead) + "-left";
  ASSERT_TRUE(RunCommand({"ip", "netns", "add", left}).ok());
  auto first = NetNamespace::Create("first");
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = NetNamespace::Create("second");
  ASSERT_TRUE(second.ok()) << second.status();
  const std::vector<std::string> names = FolderEntries("/run/netns");
  EXPECT_THAT(names, ::testing::Not(::testing::Contains(left)));
  EXPECT_THAT(names, ::testing::Contains((*first)->name()));
}

}  // namespace
}  // namespace lattice::testing
