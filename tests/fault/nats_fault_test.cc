// NATS is away, goes away, or stands still: the audit file is the spool, and every record arrives.
#include <map>
#include <random>

#include "absl/strings/str_cat.h"
#include "tests/fault/fault_test.h"
#include "tests/testing/audit_stream.h"
#include "tests/testing/certificates.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"

namespace lattice::testing {
namespace {

constexpr char kSubject[] = "lattice.audit.flow";

class NatsFaultTest : public FaultTest {
 protected:
  void SetUp() override {
    FaultTest::SetUp();
    auto server = NatsServer::Start({.jetstream = true, .netns = ns_->path()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = std::move(*server);
    ConnectStream();
    ASSERT_TRUE(stream_->Make().ok());
  }
  void TearDown() override {
    FaultTest::TearDown();
    subscriber_ = nullptr;
    stream_ = nullptr;
    server_ = nullptr;
  }
  // As latticed does.
  void ConnectStream() {
    absl::StatusOr<std::unique_ptr<AuditStream>> stream = absl::UnknownError("");
    ns_->Run([&] { stream = AuditStream::Connect(server_->url()); });
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = std::move(*stream);
  }
  void Subscribe() {
    absl::StatusOr<std::unique_ptr<NatsSubscriber>> subscriber = absl::UnknownError("");
    ns_->Run([&] { subscriber = NatsSubscriber::Subscribe(server_->url(), kSubject); });
    ASSERT_TRUE(subscriber.ok()) << subscriber.status();
    subscriber_ = std::move(*subscriber);
  }
  void StartPublishing() {
    ASSERT_NO_FATAL_FAILURE(
        StartDp({"--egress-allow=192.0.2.0/24", "--nats-url=" + server_->url(), "--flow-idle-timeout=1h"}));
  }
  void WaitForFile(size_t starts) {
    ASSERT_TRUE(WaitUntil(
        [&] { return dp_->Records([](const AuditRecord& r) { return r["event"] == "start"; }).size() >= starts; }));
  }

  // Everything in the file arrives, and nothing else. A batch that was under way when the connection broke may come
  // twice.
  void ExpectEveryRecordArrives() {
    const std::set<std::string> ids = IdsInFile();
    const auto missing = [&] {
      std::vector<std::string> left;
      for (const std::string& id : ids) {
        if (times_.count(id) == 0) left.push_back(id);
      }
      return left;
    };
    WaitUntil([&] {
      while (std::optional<NatsMessage> message = subscriber_->Next(absl::Milliseconds(50))) {
        ++times_[AuditRecord::Parse(message->payload)["eventId"]];
      }
      return missing().empty();
    });
    EXPECT_THAT(missing(), ::testing::IsEmpty());
    const std::set<std::string> ids_now = IdsInFile();
    for (const auto& [id, times] : times_) EXPECT_EQ(ids_now.count(id), 1u) << id << " is not in the file";
  }
  std::set<std::string> IdsInFile() const {
    std::set<std::string> ids;
    for (const AuditRecord& record : dp_->Records()) ids.insert(record["eventId"]);
    return ids;
  }
  void ExpectNoneTwice() {
    for (const auto& [id, times] : times_) EXPECT_EQ(times, 1) << id;
  }
  double Connected() const { return dp_->Scrape().Sum("lattice_dp_nats_connected"); }

  std::unique_ptr<NatsServer> server_;
  std::unique_ptr<AuditStream> stream_;
  std::unique_ptr<NatsSubscriber> subscriber_;
  std::map<std::string, int> times_;
};

// The daemon has dropped its privileges and confined itself by the time it connects again: it still must read
// its secrets, resolve names, shake hands and rotate its file.
class NatsLoginTest : public NatsFaultTest {
 protected:
  // Publishes through a restart of the server and through rotations of the file.
  void ExpectPublishesWith(const NatsServerOptions& options, std::vector<std::string> args,
                           const std::string& subscriber_url, const std::string& ca = "") {
    ASSERT_TRUE(server_->Stop().ok());
    server_->options() = options;
    ASSERT_TRUE(server_->Restart().ok());
    args.insert(args.end(), {"--egress-allow=192.0.2.0/24", "--flow-idle-timeout=1h", "--audit-rotate-size=64KiB"});
    ASSERT_NO_FATAL_FAILURE(StartDp(std::move(args)));
    EXPECT_TRUE(WaitUntil([&] { return Connected() == 1; })) << dp_->log();
    EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }));
    ASSERT_TRUE(server_->Stop().ok());
    const size_t before = IdsInFile().size();
    Send("192.0.2.9", 1000, 10'000, 500);
    WaitForFile(500);
    ASSERT_TRUE(server_->Restart().ok());
    absl::StatusOr<std::unique_ptr<NatsSubscriber>> subscriber = absl::UnknownError("");
    ns_->Run([&] { subscriber = NatsSubscriber::Subscribe(subscriber_url, kSubject, ca); });
    ASSERT_TRUE(subscriber.ok()) << subscriber.status();
    std::set<std::string> seen;
    EXPECT_TRUE(WaitUntil([&] {
      while (std::optional<NatsMessage> message = (*subscriber)->Next(absl::Milliseconds(50))) {
        seen.insert(AuditRecord::Parse(message->payload)["eventId"]);
      }
      return seen.size() >= IdsInFile().size() - before;
    })) << seen.size()
        << " arrived\n"
        << dp_->log();
    size_t segments = 0;
    for (const std::string& name : FolderEntries(dp_->File("."))) {
      segments += name.find(".jsonl") != std::string::npos;
    }
    EXPECT_GT(segments, 2u) << "the file was to be rotated meanwhile";
    EXPECT_EQ(dp_->Stop(), 0) << dp_->log();
  }
  std::string Secret(const std::string& name, const std::string& text) {
    EXPECT_TRUE(WriteFileAtomically(dir_.File(name), text, 0600).ok());
    return dir_.File(name);
  }

  TempDir dir_;
};

TEST_F(NatsLoginTest, ByPasswordOverTlsWithACertificateOfOurOwn) {
  ASSERT_TRUE(MakeCertificates(dir_.path()).ok());
  NatsServerOptions options = server_->options();
  options.user = "dp";
  options.password = "secret";
  options.tls_cert_file = dir_.File("server.pem");
  options.tls_key_file = dir_.File("server.key");
  const std::string port = absl::StrCat(server_->port());
  ExpectPublishesWith(options,
                      {"--nats-url=tls://127.0.0.1:" + port, "--nats-user=dp",
                       "--nats-password-file=" + Secret("password", "secret\n"), "--nats-tls-ca=" + dir_.File("ca.pem"),
                       "--nats-tls-cert=" + dir_.File("client.pem"), "--nats-tls-key=" + dir_.File("client.key")},
                      "tls://dp:secret@127.0.0.1:" + port, dir_.File("ca.pem"));
}

TEST_F(NatsLoginTest, ByTokenAtAServerFoundByName) {
  NatsServerOptions options = server_->options();
  options.token = "sesame";
  const std::string port = absl::StrCat(server_->port());
  ExpectPublishesWith(options,
                      {"--nats-url=nats://localhost:" + port, "--nats-token-file=" + Secret("token", "sesame\n")},
                      "nats://sesame@127.0.0.1:" + port);
}

TEST_F(NatsFaultTest, RecordsOfTheTimeBeforeNatsIsThereArriveOnceItIs) {
  ASSERT_TRUE(server_->Stop().ok());
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  EXPECT_THAT(dp_->log(), ::testing::HasSubstr("; publishing waits for NATS at " + server_->url()));
  Send("192.0.2.9", 1000, 10'000, 500);
  WaitForFile(500);
  EXPECT_EQ(Connected(), 0);
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") >= 500; }));
  ASSERT_TRUE(server_->Restart().ok());
  // The subscription must be there first: it is a plain one and gets only what comes after it. The daemon
  // tries again after a second at the earliest.
  Subscribe();
  EXPECT_TRUE(WaitUntil([&] { return Connected() == 1; }));
  ExpectEveryRecordArrives();
  ExpectNoneTwice();
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }));
}

TEST_F(NatsLoginTest, AHangupTakesTheTokenThatTheFileHoldsNow) {
  // How many records of flows to `destination` came with each token.
  const auto tokens = [&](const std::string& destination) {
    std::map<std::string, int> count;
    for (const StoredNatsMessage& message : stream_->Messages()) {
      if (message.subject != kSubject) continue;
      if (AuditRecord::Parse(message.payload)["dstIp"] == destination) ++count[message.agent_token];
    }
    return count;
  };
  using Counts = std::map<std::string, int>;
  const std::string file = Secret("agent.token", "first.agent.token\n");
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--nats-url=" + server_->url(),
                                   "--flow-idle-timeout=1h", "--agent-token-file=" + file}));
  Send("192.0.2.9", 1000, 10'000, 50);
  EXPECT_TRUE(WaitUntil([&] { return tokens("192.0.2.9") == Counts{{"first.agent.token", 50}}; })) << dp_->log();

  Secret("agent.token", "second.agent.token\n");
  dp_->Signal(SIGHUP);
  EXPECT_TRUE(dp_->WaitForLog("connecting to NATS anew"));
  Send("192.0.2.10", 1000, 10'000, 50);
  EXPECT_TRUE(WaitUntil([&] { return tokens("192.0.2.10") == Counts{{"second.agent.token", 50}}; })) << dp_->log();
}

TEST_F(NatsFaultTest, RecordsOfAnOutageArriveAfterIt) {
  Subscribe();
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  Send("192.0.2.9", 1000, 10'000, 200);
  WaitForFile(200);
  ExpectEveryRecordArrives();
  subscriber_ = nullptr;
  ASSERT_TRUE(server_->Stop().ok());
  EXPECT_TRUE(WaitUntil([&] { return Connected() == 0; }));
  Send("192.0.2.10", 1000, 10'000, 300);
  WaitForFile(500);
  // A restart of the daemon in the outage changes nothing: the cursor is stored.
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  ASSERT_TRUE(server_->Restart().ok());
  Subscribe();
  ExpectEveryRecordArrives();
  ExpectNoneTwice();
}

TEST_F(NatsFaultTest, AServerThatStandsStillHoldsNothingUp) {
  Subscribe();
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  Send("192.0.2.9", 1000, 10'000, 100);
  WaitForFile(100);
  ASSERT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }));
  ASSERT_TRUE(server_->Pause().ok());
  Send("192.0.2.10", 1000, 10'000, 400);
  WaitForFile(500);  // the file doesn't wait for NATS
  EXPECT_TRUE(dp_->Cli({"status"}).ok());
  EXPECT_GT(dp_->Scrape().Sum("lattice_dp_spool_records"), 0);
  ASSERT_TRUE(server_->Resume().ok());
  ExpectEveryRecordArrives();
}

TEST_F(NatsFaultTest, StoppingTheDaemonWithADeadServerEndsInTimeAndNothingIsLost) {
  Subscribe();
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  ASSERT_TRUE(server_->Pause().ok());
  Send("192.0.2.9", 1000, 10'000, 100);
  WaitForFile(100);
  EXPECT_EQ(dp_->Stop(), 0) << dp_->log();
  ASSERT_TRUE(server_->Resume().ok());
  ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  ExpectEveryRecordArrives();
}

// Killed while it records and publishes; what the file has, a subscriber gets.
TEST_F(NatsFaultTest, ADaemonKilledWhilePublishingMissesNoRecord) {
  std::mt19937_64 random(TestSeed());
  Subscribe();
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  for (int round = 0; round < 6; ++round) {
    Send(absl::StrCat("192.0.2.", 20 + round), 1000, 10'000, 2000);
    absl::SleepFor(absl::Milliseconds(random() % 150));
    dp_->Kill();
    ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
  }
  WaitForFile(6 * 2000);
  ExpectEveryRecordArrives();
}

// Killed at random moments while it publishes, and the server too: in the end the stream has each record of the file,
// once.
TEST_F(NatsFaultTest, TheStreamHasEachRecordOnceWhenDaemonAndServerAreKilled) {
  std::mt19937_64 random(TestSeed());
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  for (int round = 0; round < 4; ++round) {
    Send(absl::StrCat("192.0.2.", 20 + round), 1000, 10'000, 2000);
    absl::SleepFor(absl::Milliseconds(random() % 150));
    dp_->Kill();
    server_->Kill();
    ASSERT_TRUE(dp_->Start().ok()) << dp_->log();
    absl::SleepFor(absl::Milliseconds(random() % 150));
    ASSERT_TRUE(server_->Restart().ok());
  }
  WaitForFile(4 * 2000);
  ASSERT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }, absl::Seconds(60)));
  ASSERT_EQ(dp_->Stop(), 0) << dp_->log();
  const std::map<std::string, int> ids = stream_->Ids();
  const std::set<std::string> in_file = IdsInFile();
  EXPECT_EQ(ids.size(), in_file.size());
  for (const std::string& id : in_file) EXPECT_EQ(ids.count(id), 1u) << id << " is missing";
  for (const auto& [id, times] : ids) EXPECT_EQ(times, 1) << id;
}

TEST_F(NatsFaultTest, WithoutTheStreamTheDaemonSaysWhoMakesItAndPublishesOnceItIsThere) {
  ASSERT_TRUE(server_->Stop().ok());
  auto server = NatsServer::Start({.jetstream = true, .netns = ns_->path()});  // without the stream
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = std::move(*server);
  ConnectStream();
  ASSERT_NO_FATAL_FAILURE(StartPublishing());
  Send("192.0.2.9", 1000, 10'000, 100);
  WaitForFile(100);
  EXPECT_TRUE(dp_->WaitForLog("there is no JetStream stream LATTICE_AUDIT: start `latticed`, which makes it"));
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_nats_no_stream_total") > 0; }));
  EXPECT_GE(dp_->Scrape().Sum("lattice_dp_spool_records"), 100);
  EXPECT_THAT(dp_->Cli({"status"}).out, ::testing::HasSubstr("there is no JetStream stream"));
  ASSERT_TRUE(stream_->Make().ok());
  EXPECT_TRUE(WaitUntil([&] { return dp_->Scrape().Sum("lattice_dp_spool_records") == 0; }));
  EXPECT_GE(stream_->Count(), 100);
}

TEST_F(NatsFaultTest, AServerWithoutJetStreamGetsTheRecordsByCoreNatsIfAsked) {
  ASSERT_TRUE(server_->Stop().ok());
  server_->options().jetstream = false;
  ASSERT_TRUE(server_->Restart().ok());
  Subscribe();
  ASSERT_NO_FATAL_FAILURE(StartDp({"--egress-allow=192.0.2.0/24", "--nats-url=" + server_->url(),
                                   "--nats-jetstream=false", "--flow-idle-timeout=1h"}));
  Send("192.0.2.9", 1000, 10'000, 100);
  WaitForFile(100);
  ExpectEveryRecordArrives();
  ExpectNoneTwice();
}

}  // namespace
}  // namespace lattice::testing
