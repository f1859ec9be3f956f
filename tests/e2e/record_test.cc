// The records say what happened on the wire, to the byte: in the file, and the same on NATS.
#include <map>
#include <set>

#include "absl/time/clock.h"
#include "tests/e2e/overlay_test.h"
#include "tests/testing/audit_stream.h"
#include "tests/testing/nats_server.h"

namespace lattice::testing {
namespace {

class RecordTest : public OverlayTest {
 protected:
  // Runs an echo stream for `duration` and returns how many datagrams went each way (all came back).
  uint64_t Stream(const SocketAddress& from, const SocketAddress& to, size_t payload, absl::Duration duration) {
    auto stream = UdpStream::Create(node(), from, to, {.payload = payload, .window = 4});
    EXPECT_TRUE(stream.ok()) << stream.status();
    absl::SleepFor(duration);  // the length of the traffic, not a synchronisation
    (*stream)->Stop();
    EXPECT_EQ((*stream)->answered(), (*stream)->sent());
    return (*stream)->sent();
  }

  static std::function<bool(const AuditRecord&)> Is(const std::string& event, const std::string& dst_port) {
    return [=](const AuditRecord& r) { return r["event"] == event && r["dst_port"] == dst_port; };
  }

  // Sums of the denied records of one destination port.
  std::pair<uint64_t, uint64_t> DeniedSums(const std::string& dst_port) const {
    std::pair<uint64_t, uint64_t> packets_bytes;
    for (const AuditRecord& r : dp_->Records(Is("denied", dst_port))) {
      packets_bytes.first += r.Number("packetsOut");
      packets_bytes.second += r.Number("bytesOut");
    }
    return packets_bytes;
  }
};

TEST_F(RecordTest, AUdpFlowHasStartUpdatesAndEndWithTheExactCounts) {
  UdpEcho(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(
      StartDp({"--egress-allow=10.42.0.10/32", "--flow-idle-timeout=1s", "--flow-active-timeout=1s"}));
  const uint64_t sent = Stream({"10.42.0.1", 40000}, {"10.42.0.10", 7000}, 100, absl::Milliseconds(3500));
  const auto end = dp_->WaitForRecord(Is("end", "7000"));
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ((*end)["endReason"], "idle");
  EXPECT_EQ((*end)["verdict"], "allow");
  EXPECT_EQ((*end)["reason"], "allow_rule");
  EXPECT_EQ((*end)["rule"], "10.42.0.10/32");
  EXPECT_EQ((*end)["protocol"], "udp");
  EXPECT_EQ((*end)["direction"], "egress");
  EXPECT_EQ((*end)["src_ip"], "10.42.0.1");
  EXPECT_EQ((*end)["srcPort"], "40000");
  EXPECT_EQ((*end)["dst_ip"], "10.42.0.10");
  for (const char* way : {"Out", "In"}) {
    EXPECT_EQ(end->Number(std::string("packets") + way), sent) << way;
    EXPECT_EQ(end->Number(std::string("wirePackets") + way), sent) << way;
    EXPECT_EQ(end->Number(std::string("bytes") + way), sent * 128) << way;
  }
  const std::vector<AuditRecord> starts = dp_->Records(Is("start", "7000"));
  ASSERT_EQ(starts.size(), 1u);
  EXPECT_EQ(starts[0]["flowId"], (*end)["flowId"]);
  const std::vector<AuditRecord> updates = dp_->Records(Is("update", "7000"));
  EXPECT_GE(updates.size(), 2u);
  uint64_t before = 0;
  for (const AuditRecord& update : updates) {
    EXPECT_GT(update.Number("packetsOut"), before) << "totals since start grow: " << update;
    before = update.Number("packetsOut");
  }
  EXPECT_LE(before, sent);
}

TEST_F(RecordTest, ATcpFlowEndsByFinWithTheBytesTheDeviceCounted) {
  auto http = TcpServer::Http(peer(), {"10.42.0.10", 80}, std::string(300'000, 'b'));
  ASSERT_TRUE(http.ok()) << http.status();
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32:80/tcp"}));
  auto before = ReadLinkCounters(node(), "wg0");
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/", 10).out.size(), 300'000u);
  const auto end = dp_->WaitForRecord(Is("end", "80"), absl::Seconds(40));
  ASSERT_TRUE(end.has_value());
  auto after = ReadLinkCounters(node(), "wg0");
  ASSERT_TRUE(after.ok());
  EXPECT_EQ((*end)["endReason"], "fin");
  EXPECT_EQ(end->Number("bytesOut"), after->tx_bytes - before->tx_bytes);
  EXPECT_EQ(end->Number("bytesIn"), after->rx_bytes - before->rx_bytes);
  EXPECT_EQ(end->Number("wirePacketsOut"), after->tx_packets - before->tx_packets);
  EXPECT_EQ(end->Number("wirePacketsIn"), after->rx_packets - before->rx_packets);
}

TEST_F(RecordTest, DeniedPacketsAreAggregatedAndNoneIsMissing) {
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32:1"}));
  for (int i = 0; i < 500; ++i) {
    // Another source port each time, as a program that tries again and again.
    UniqueFd fd = node().Socket(AF_INET, SOCK_DGRAM, 0);
    const SocketAddress to("10.42.0.10", 7000);
    ASSERT_EQ(::sendto(fd.get(), "12345678", 8, 0, to.get(), to.length()), 8);
  }
  ASSERT_TRUE(WaitUntil([&] { return DeniedSums("7000").first >= 500; }, absl::Seconds(40)));
  EXPECT_EQ(DeniedSums("7000"), std::make_pair(uint64_t{500}, uint64_t{500 * 36}));
  const std::vector<AuditRecord> denied = dp_->Records(Is("denied", "7000"));
  EXPECT_LE(denied.size(), 5u) << "never a record per packet";
  EXPECT_EQ(denied[0]["reason"], "no_rule");
  EXPECT_EQ(denied[0]["verdict"], "drop");
  EXPECT_TRUE(dp_->Records(Is("start", "7000")).empty());
}

TEST_F(RecordTest, SequenceNumbersHaveNoHoles) {
  UdpEcho(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32"}));
  const auto echo = [&](uint16_t port) { return UdpEchoesFrom(node(), {"10.42.0.1", port}, {"10.42.0.10", 7000}, 50); };
  for (uint16_t i = 0; i < 100; ++i) ASSERT_TRUE(echo(20000 + i));
  ASSERT_TRUE(WaitUntil([&] { return dp_->Records(Is("start", "7000")).size() == 100; }));
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  ASSERT_TRUE(dp_->Start().ok());
  for (uint16_t i = 100; i < 200; ++i) ASSERT_TRUE(echo(20000 + i));
  ASSERT_TRUE(WaitUntil([&] { return dp_->Records(Is("start", "7000")).size() == 200; }));
  uint64_t next = 0;
  for (const AuditRecord& record : dp_->Records()) {
    if (next != 0) {
      EXPECT_EQ(record.Number("seq"), next) << record;
    }
    next = record.Number("seq") + 1;
  }
}

TEST_F(RecordTest, NatsHasEveryRecordOfTheFileOnceAndEqual) {
  auto server = NatsServer::Start({.jetstream = true, .netns = node().path()});
  ASSERT_TRUE(server.ok()) << server.status();
  absl::StatusOr<std::unique_ptr<AuditStream>> stream = absl::UnknownError("");
  node().Run([&] { stream = AuditStream::Connect((*server)->url()); });
  ASSERT_TRUE(stream.ok()) << stream.status();
  ASSERT_TRUE((*stream)->Make().ok());
  absl::StatusOr<std::unique_ptr<NatsSubscriber>> subscriber = absl::UnknownError("");
  node().Run([&] { subscriber = NatsSubscriber::Subscribe((*server)->url(), "lattice.audit.flow"); });
  ASSERT_TRUE(subscriber.ok()) << subscriber.status();

  Http(peer(), 80);
  UdpEcho(peer(), "fd42::10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=10.42.0.10/32,fd42::10", "--nats-url=" + (*server)->url(),
                                   "--agent-name=agent-e2e", "--flow-idle-timeout=1s"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_EQ(Curl(node(), "http://10.42.0.20/", 1).exit_code, 28);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(UdpEchoes(node(), {"fd42::10", 7000}, 50));
  EXPECT_TRUE(Ping(node(), "fd42::10").ok());
  ASSERT_TRUE(dp_->WaitForRecord(Is("end", "7000")).has_value());
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();

  std::map<std::string, AuditRecord> messages;
  const std::vector<AuditRecord> records = dp_->Records();
  while (messages.size() < records.size()) {
    std::optional<NatsMessage> message = (*subscriber)->Next(absl::Seconds(5));
    ASSERT_TRUE(message.has_value()) << messages.size() << " of " << records.size() << " messages";
    const AuditRecord parsed = AuditRecord::Parse(message->payload);
    EXPECT_TRUE(messages.emplace(parsed["eventId"], parsed).second) << "twice: " << parsed;
  }
  EXPECT_FALSE((*subscriber)->Next(absl::Milliseconds(300)).has_value());
  const std::map<std::string, std::string> renamed = {
      {"identity", "agentId"}, {"src_ip", "srcIp"}, {"dst_ip", "dstIp"}, {"dst_port", "dstPort"}};
  const char* const keys[] = {"identity",         "src_ip",    "srcPort", "dst_ip",     "dst_port",
                              "protocol",         "verdict",   "event",   "seq",        "ts",
                              "direction",        "reason",    "rule",    "bytesOut",   "bytesIn",
                              "packetsOut",       "packetsIn", "start",   "durationMs", "endReason",
                              "policyGeneration", "flowId"};
  for (const AuditRecord& record : records) {
    ASSERT_EQ(messages.count(record["eventId"]), 1u) << "not on NATS: " << record;
    const AuditRecord& message = messages[record["eventId"]];
    EXPECT_EQ(record["identity"], "agent-e2e");
    for (const std::string key : keys) {
      const auto other = renamed.find(key);
      EXPECT_EQ(record[key], message[other == renamed.end() ? key : other->second]) << key << record << message;
    }
  }
}

}  // namespace
}  // namespace lattice::testing
