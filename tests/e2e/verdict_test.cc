// What passes and what doesn't, with the programs people use, through a real tunnel.
#include <sys/socket.h>

#include <cerrno>

#include "tests/e2e/overlay_test.h"

namespace lattice::testing {
namespace {

using VerdictTest = OverlayTest;

TEST_F(VerdictTest, CurlReachesWhatTheListNamesByAddressAndByPortAndNothingElse) {
  Http(peer(), 80);
  TcpServer* https = Http(peer(), 443);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32", "--egress-allow=0.0.0.0/0:443"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://10.42.0.20:443/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://203.0.113.9:443/").out, "hello\n");

  const uint64_t accepted = https->accepted();
  EXPECT_EQ(Curl(node(), "http://10.42.0.20/", 1).exit_code, 28);  // 28: timed out, because the SYN was dropped
  EXPECT_EQ(Curl(node(), "http://203.0.113.9:444/", 1).exit_code, 28);
  EXPECT_EQ(Curl(node(), "http://[fd42::10]/", 1).exit_code, 28);
  EXPECT_EQ(Curl(node(), "http://[fd42::10]:443/", 1).exit_code, 28) << "0.0.0.0/0 is IPv4 only";
  EXPECT_EQ(https->accepted(), accepted);
}

TEST_F(VerdictTest, NothingLeavesWithoutARule) {
  Http(peer(), 80);
  UdpServer* sink = UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/", 1).exit_code, 28);
  EXPECT_FALSE(Ping(node(), "10.42.0.10").ok());
  EXPECT_FALSE(Ping(node(), "fd42::10").ok());
  EXPECT_FALSE(UdpEchoes(node(), {"10.42.0.10", 7000}, 100, absl::Milliseconds(300)));
  EXPECT_EQ(sink->datagrams(), 0u);
  EXPECT_EQ(dp_->Scrape().Sum("lattice_dp_packets_total", {{"direction", "egress"}, {"verdict", "allow"}}), 0);
}

TEST_F(VerdictTest, Ipv6IsJudgedAsIpv4IsByAddressAndPort) {
  Http(peer(), 80);
  UdpEcho(peer(), "fd42::10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=fd42::10,[2001:db8:f::/48]:80"}));
  EXPECT_EQ(Curl(node(), "http://[fd42::10]/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://[2001:db8:f::5]/").out, "hello\n");
  EXPECT_TRUE(Ping(node(), "fd42::10").ok());
  EXPECT_TRUE(UdpEchoes(node(), {"fd42::10", 7000}, 100));
  EXPECT_EQ(Curl(node(), "http://[fd42::20]/", 1).exit_code, 28);
  EXPECT_EQ(Curl(node(), "http://[2001:db8:f::5]:81/", 1).exit_code, 28);
  EXPECT_FALSE(Ping(node(), "2001:db8:f::5").ok()) << "a port rule allows no ICMP";
}

TEST_F(VerdictTest, PingPassesByAnAddressRuleOrAnIcmpRule) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32,203.0.113.0/24:icmp"}));
  EXPECT_TRUE(Ping(node(), "10.42.0.10").ok());
  EXPECT_TRUE(Ping(node(), "203.0.113.1").ok());
  EXPECT_FALSE(Ping(node(), "10.42.0.20").ok());
  EXPECT_FALSE(UdpEchoes(node(), {"203.0.113.1", 7}, 10, absl::Milliseconds(300)));
}

TEST_F(VerdictTest, UdpRulesOfAPortRangeMatchTheirProtocolOnly) {
  UdpEcho(peer(), "10.42.0.10", 8000);
  UdpEcho(peer(), "10.42.0.10", 8100);
  UdpEcho(peer(), "10.42.0.10", 8101);
  TcpEcho(peer(), "10.42.0.10", 8050);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.0/16:8000-8100/udp"}));
  EXPECT_TRUE(UdpEchoes(node(), {"10.42.0.10", 8000}, 64));
  EXPECT_TRUE(UdpEchoes(node(), {"10.42.0.10", 8100}, 64));
  EXPECT_FALSE(UdpEchoes(node(), {"10.42.0.10", 8101}, 64, absl::Milliseconds(300)));
  EXPECT_EQ(ConnectTcp(node(), {"10.42.0.10", 8050}, absl::Seconds(1)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
}

TEST_F(VerdictTest, DenyWinsOverAllow) {
  Http(peer(), 80);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.0/16", "--egress-deny=10.42.0.20/32"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://10.42.0.20/", 1).exit_code, 28);
  auto denied = dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "denied"; });
  ASSERT_TRUE(denied.has_value());
  EXPECT_EQ((*denied)["reason"], "deny_rule");
  EXPECT_EQ((*denied)["rule"], "deny 10.42.0.20/32");
}

TEST_F(VerdictTest, WithoutDefaultDenyOnlyWhatADenyRuleNamesIsStopped) {
  Http(peer(), 80);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--noegress_default_deny", "--egress-deny=10.42.0.20/32:80"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_TRUE(Ping(node(), "10.42.0.20").ok());
  EXPECT_EQ(Curl(node(), "http://10.42.0.20/", 1).exit_code, 28);
}

// 4,000 bytes are three fragments, two of them without ports: they pass by what the first one taught.
TEST_F(VerdictTest, LargeDatagramsOfBothFamiliesPassByAPortRule) {
  UdpEcho(peer(), "10.42.0.10", 7000);
  UdpEcho(peer(), "fd42::10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32:7000/udp,[fd42::10/128]:7000/udp"}));
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(UdpEchoes(node(), {"10.42.0.10", 7000}, 4000)) << "datagram " << i;
    EXPECT_TRUE(UdpEchoes(node(), {"fd42::10", 7000}, 4000)) << "datagram " << i;
  }
}

TEST_F(VerdictTest, NoFragmentOfADeniedDatagramLeaves) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32:7000/udp,[fd42::10/128]:7000/udp"}));
  auto before = ReadLinkCounters(node(), "wg0");
  ASSERT_TRUE(before.ok());
  EXPECT_FALSE(UdpEchoes(node(), {"10.42.0.10", 7001}, 4000, absl::Milliseconds(200)));
  EXPECT_FALSE(UdpEchoes(node(), {"fd42::10", 7001}, 4000, absl::Milliseconds(200)));
  auto after = ReadLinkCounters(node(), "wg0");
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(after->tx_packets, before->tx_packets);
  EXPECT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["dst_port"] == "7001"; }).has_value());
}

TEST_F(VerdictTest, Iperf3RunsBothWaysAndOverUdp) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32:5201"}));
  for (const std::vector<std::string>& options :
       {std::vector<std::string>{"-n", "10M"}, {"-n", "10M", "-R"}, {"-u", "-b", "20M", "-t", "1"}}) {
    auto server = ChildProcess::Start({.argv = {"iperf3", "-s", "-1", "--forceflush"}, .netns = peer().path()});
    ASSERT_TRUE(server.ok()) << server.status();
    ASSERT_TRUE((*server)->WaitForOutput("Server listening", absl::Seconds(10)));
    std::vector<std::string> argv = {"iperf3", "-c", "10.42.0.10"};
    argv.insert(argv.end(), options.begin(), options.end());
    CommandResult client = RunCommand(node().Inside(argv));
    EXPECT_TRUE(client.ok()) << client;
    EXPECT_TRUE((*server)->Wait(absl::Seconds(10)).has_value());
  }
}

TEST_F(VerdictTest, ConnectionsFromOutsideAreOpenAndTheirAnswersLeave) {
  Http(node(), 8080);
  UdpEcho(node(), "10.42.0.1", 7100);
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  EXPECT_EQ(Curl(peer(), "http://10.42.0.1:8080/").out, "hello\n");
  EXPECT_TRUE(UdpEchoes(peer(), {"10.42.0.1", 7100}, 100));
  EXPECT_TRUE(Ping(peer(), "10.42.0.1").ok());
  EXPECT_TRUE(Ping(peer(), "fd42::1").ok());
  EXPECT_FALSE(Ping(node(), "10.42.0.10").ok()) << "a ping from outside lets no request out";
  auto start = dp_->WaitForRecord([](const AuditRecord& r) {
    return r["event"] == "start" && r["direction"] == "ingress" && r["dst_port"] == "8080";
  });
  ASSERT_TRUE(start.has_value());
  EXPECT_EQ((*start)["src_ip"], "10.42.0.10");
  EXPECT_EQ((*start)["dst_ip"], "10.42.0.1");
}

// A connection of before the daemon: its packets from outside come in, but give no right to answer, or any
// process could send out by pretending to answer.
TEST_F(VerdictTest, ATcpConnectionSeenOnlyInItsMiddleMayNotSendOut) {
  auto server = BoundSocket(node(), SOCK_STREAM, {"10.42.0.1", 8080});
  ASSERT_TRUE(server.ok()) << server.status();
  auto client = ConnectTcp(peer(), {"10.42.0.1", 8080}, absl::Seconds(5));
  ASSERT_TRUE(client.ok()) << client.status();
  UniqueFd accepted(::accept(server->get(), nullptr, nullptr));
  ASSERT_TRUE(accepted.ok());
  ASSERT_NO_FATAL_FAILURE(StartDp({}));
  ASSERT_EQ(::send(client->get(), "x", 1, 0), 1);
  SetReceiveTimeout(accepted.get(), absl::Seconds(5));
  char byte = 0;
  ASSERT_EQ(::recv(accepted.get(), &byte, 1, 0), 1) << "ingress is open";
  ASSERT_EQ(::send(accepted.get(), "y", 1, 0), 1);
  SetReceiveTimeout(client->get(), absl::Milliseconds(500));
  EXPECT_EQ(::recv(client->get(), &byte, 1, 0), -1) << "the answer must not leave";
  auto denied = dp_->WaitForRecord([](const AuditRecord& r) {
    return r["event"] == "denied" && r["protocol"] == "tcp" && r["direction"] == "egress";
  });
  EXPECT_TRUE(denied.has_value());
}

TEST_F(VerdictTest, IngressRulesCloseTheRestButAdmitReplies) {
  Http(node(), 8080);
  TcpServer* closed = Http(node(), 8081);
  Http(peer(), 80);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32", "--ingress-allow=10.42.0.0/16:8080"}));
  EXPECT_EQ(Curl(peer(), "http://10.42.0.1:8080/").out, "hello\n");
  EXPECT_EQ(Curl(peer(), "http://10.42.0.1:8081/", 1).exit_code, 28);
  EXPECT_EQ(closed->accepted(), 0u);
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n") << "replies of an allowed flow come in";
}

TEST_F(VerdictTest, ErrorsAboutAnAllowedFlowComeBack) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32"}));
  // Nobody listens: ECONNREFUSED by an ICMP port unreachable, long before curl's limit.
  for (int i = 0; i < 2; ++i) {
    UniqueFd fd = node().Socket(AF_INET, SOCK_DGRAM, 0);
    const SocketAddress closed("10.42.0.10", 7999);
    ASSERT_EQ(::connect(fd.get(), closed.get(), closed.length()), 0);
    ASSERT_EQ(::send(fd.get(), "x", 1, 0), 1);
    SetReceiveTimeout(fd.get(), absl::Seconds(2));
    char byte;
    EXPECT_EQ(::recv(fd.get(), &byte, 1, 0), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
  }
}

// The peer forwards into a link of a smaller MTU: "fragmentation needed" must come back through wg0, and the
// sender must learn from it.
TEST_F(VerdictTest, PathMtuDiscoveryWorks) {
  auto far = NetNamespace::Create("far");
  ASSERT_TRUE(far.ok()) << far.status();
  ASSERT_TRUE(ConnectByVeth(peer(), **far, "net1", {"198.18.0.1/24"}, {"198.18.0.2/24"}).ok());
  ASSERT_TRUE((*far)->Ip("link set net1 mtu 1200\nroute add default via 198.18.0.1").ok());
  ASSERT_TRUE(peer().Ip("link set net1 mtu 1200").ok());
  ASSERT_TRUE(RunCommand(peer().Inside({"sysctl", "-qw", "net.ipv4.ip_forward=1"})).ok());
  ASSERT_TRUE(node().Ip("route add 198.18.0.0/24 dev wg0").ok());
  auto http = TcpServer::Http(**far, {"198.18.0.2", 80}, std::string(100'000, 'p') + "\n");
  ASSERT_TRUE(http.ok()) << http.status();
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=198.18.0.0/24"}));
  CommandResult too_big = Ping(node(), "198.18.0.2", {"-M", "do", "-s", "1300"});
  EXPECT_THAT(too_big.out + too_big.err, ::testing::HasSubstr("mtu"));
  EXPECT_THAT(RunCommand({"ip", "-n", node().name(), "route", "get", "198.18.0.2"}).out,
              ::testing::HasSubstr("mtu 1200"));
  EXPECT_EQ(Curl(node(), "http://198.18.0.2/", 5).out.size(), 100'001u);
  EXPECT_TRUE(node().Ip("route del 198.18.0.0/24 dev wg0").ok());
}

TEST_F(VerdictTest, AuditModeLetsPassWhatItRecordsAsDenied) {
  Http(peer(), 80);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--mode=audit", "--egress-allow=10.42.0.10/32"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://10.42.0.20/").out, "hello\n");
  auto denied =
      dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "denied" && r["dst_port"] == "80"; });
  ASSERT_TRUE(denied.has_value());
  EXPECT_EQ((*denied)["dst_ip"], "10.42.0.20");
  EXPECT_EQ((*denied)["verdict"], "drop");
  EXPECT_EQ((*denied)["mode"], "audit");
  EXPECT_EQ((*denied)["reason"], "no_rule");
  MetricsText metrics = dp_->Scrape();
  EXPECT_GT(metrics.Sum("lattice_dp_packets_total", {{"verdict", "audit"}}), 0);
  EXPECT_EQ(metrics.Sum("lattice_dp_packets_total", {{"verdict", "deny"}}), 0);
}

}  // namespace
}  // namespace lattice::testing
