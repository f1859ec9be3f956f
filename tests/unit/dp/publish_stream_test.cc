// Audit file, publisher and NATS sink against a real JetStream: what the file holds is in the stream, whatever happens
// to either end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/audit_stream.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/slow_proxy.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/publisher.h"
#include "userspace/audit/signing.h"
#include "userspace/base/file.h"
#include "userspace/dp/nats_sink.h"

namespace lattice::dp {
namespace {

using testing::AuditStream;
using testing::NatsServer;
using testing::StoredNatsMessage;
using testing::TempDir;
using testing::WaitUntil;
using Ids = std::map<std::string, int>;

class PublishStream : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = NatsServer::Start({.jetstream = true});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto stream = AuditStream::Connect(server_->url());
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
    auto key = audit::SigningKey::LoadOrCreate(dir_.File("key"));
    ASSERT_TRUE(key.ok()) << key.status();
    key_ = *std::move(key);
    path_ = dir_.File("audit.jsonl");
    auto audit = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(),
                                        {.path = path_, .node = "n", .boot = "b", .signing_key = key_});
    ASSERT_TRUE(audit.ok()) << audit.status();
    audit_ = *std::move(audit);
    sink_options_.nats = {.urls = {server_->url()}, .reconnect_wait = absl::Milliseconds(50)};
    sink_options_.stream.ack_timeout = absl::Seconds(1);
    options_.audit_path = path_;
    options_.max_backoff = absl::Milliseconds(300);
    options_.on_loss = [this](const audit::Loss& loss) { lost_ += loss.count; };
  }
  void Write(int count) {
    for (int i = 0; i < count; ++i) {
      flow::FlowRecord record = testing::StartRecord(made_++);
      audit_->Add(record);
    }
    ASSERT_TRUE(audit_->Commit().ok());
    if (publisher_ != nullptr) publisher_->Written(static_cast<uint64_t>(count), audit_->newest());
  }
  void StartPublisher() {
    sink_ = std::make_unique<NatsSink>(sink_options_);
    auto publisher = audit::Publisher::Create(audit::RealFileSystem(), RealClock(), *sink_, options_);
    ASSERT_TRUE(publisher.ok()) << publisher.status();
    publisher_ = *std::move(publisher);
    publisher_->Start();
  }
  void StopPublisher(absl::Duration drain = absl::ZeroDuration()) {
    publisher_->Stop(drain);
    publisher_ = nullptr;
    sink_ = nullptr;
  }
  const audit::PublisherCounters& counters() const { return publisher_->counters(); }
  bool AwaitSpoolEmpty() {
    return WaitUntil([&] { return counters().spool_records == 0 && stream_->Count() > 0; });
  }
  // Records 1 to `last` are in the stream; each once, or more often where nothing could know it.
  void ExpectStored(int last, bool once = true) {
    Ids ids;
    EXPECT_TRUE(WaitUntil([&] { return (ids = stream_->Ids()).size() >= static_cast<size_t>(last); })) << ids.size();
    EXPECT_EQ(ids.size(), static_cast<size_t>(last));
    for (int i = 1; i <= last; ++i) EXPECT_EQ(ids.count(absl::StrCat("n/b/", i)), 1u) << i;
    for (const auto& [id, times] : ids) {
      if (once) {
        EXPECT_EQ(times, 1) << id;
      }
    }
    EXPECT_EQ(lost_, 0u);
  }
  std::string Cursor() const { return ReadFile(audit::CursorPath(path_)).value_or(""); }
  void CopyStore() {
    ASSERT_TRUE(server_->Stop().ok());
    std::filesystem::remove_all(dir_.File("copy"));
    std::filesystem::copy(server_->store(), dir_.File("copy"), std::filesystem::copy_options::recursive);
    ASSERT_TRUE(server_->Restart().ok());
  }
  void RollBackStore() {
    server_->Kill();
    std::filesystem::remove_all(server_->store());
    std::filesystem::copy(dir_.File("copy"), server_->store(), std::filesystem::copy_options::recursive);
    ASSERT_TRUE(server_->Restart().ok());
  }

  TempDir dir_;
  std::unique_ptr<NatsServer> server_;
  std::unique_ptr<AuditStream> stream_;
  std::shared_ptr<const audit::SigningKey> key_;
  std::string path_;
  std::unique_ptr<audit::AuditFile> audit_;
  NatsSinkOptions sink_options_;
  audit::PublisherOptions options_;
  std::unique_ptr<NatsSink> sink_;
  std::unique_ptr<audit::Publisher> publisher_;
  std::atomic<uint64_t> lost_{0};
  uint64_t made_ = 0;
};

TEST_F(PublishStream, WhileTheServerStandsStillTheCursorDoesNotMove) {
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  Write(10);
  ASSERT_TRUE(AwaitSpoolEmpty());
  ASSERT_TRUE(WaitUntil([&] { return !Cursor().empty(); }));
  const std::string before = Cursor();
  ASSERT_TRUE(server_->Pause().ok());
  Write(1000);
  absl::SleepFor(absl::Milliseconds(1500));  // an acknowledgement's time is over
  EXPECT_EQ(Cursor(), before);
  EXPECT_EQ(counters().spool_records, 1000);
  EXPECT_EQ(counters().published, 10u);
  ASSERT_TRUE(server_->Resume().ok());
  ASSERT_TRUE(AwaitSpoolEmpty());
  ExpectStored(1010);
  EXPECT_EQ(counters().replays, 0u);
}

TEST_F(PublishStream, RecordsOfTheTimeBeforeTheStreamArriveOnceItIsMade) {
  StartPublisher();
  Write(500);
  ASSERT_TRUE(WaitUntil([&] {
    const nats::JetStreamCounters* stream = sink_->jetstream_counters();
    return stream != nullptr && stream->no_stream > 1;
  }));
  EXPECT_EQ(counters().spool_records, 500);
  ASSERT_TRUE(stream_->Make().ok());
  ExpectStored(500);
}

// As after kill -9 between the acknowledgement and the cursor's file.
TEST_F(PublishStream, WithoutTheCursorAllIsSentAgainAndTheStreamDropsTheDuplicates) {
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  Write(300);
  ASSERT_TRUE(AwaitSpoolEmpty());
  StopPublisher();
  std::filesystem::remove(audit::CursorPath(path_));
  StartPublisher();
  ASSERT_TRUE(WaitUntil([&] { return counters().published == 300; }));
  EXPECT_EQ(sink_->jetstream_counters()->duplicates, 300u);
  ExpectStored(300);
}

TEST_F(PublishStream, AStoreThatWasRolledBackGetsAllItLost) {
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  Write(100);
  ASSERT_TRUE(AwaitSpoolEmpty());
  CopyStore();
  Write(200);
  ASSERT_TRUE(AwaitSpoolEmpty());
  ExpectStored(300);
  RollBackStore();
  ASSERT_TRUE(WaitUntil([&] { return counters().replays == 1; }));
  Write(50);
  ExpectStored(350);
  EXPECT_EQ(counters().replays, 1u);
}

TEST_F(PublishStream, ARollbackThatHappensWhileTheDaemonIsDownIsFoundByTheStoredCheckpoints) {
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  Write(100);
  ASSERT_TRUE(AwaitSpoolEmpty());
  CopyStore();
  Write(200);
  ASSERT_TRUE(AwaitSpoolEmpty());
  ExpectStored(300);
  StopPublisher();
  RollBackStore();
  StartPublisher();
  ASSERT_TRUE(WaitUntil([&] { return counters().replays == 1; }));
  ExpectStored(300);
}

TEST_F(PublishStream, AStreamDeletedAndMadeAnewGetsEverythingInTheFiles) {
  ASSERT_TRUE(stream_->Make({.deny_delete = false}).ok());
  StartPublisher();
  Write(100);
  ASSERT_TRUE(AwaitSpoolEmpty());
  ASSERT_TRUE(audit_->Reopen().ok());
  Write(100);
  ASSERT_TRUE(AwaitSpoolEmpty());
  ExpectStored(200);
  ASSERT_TRUE(stream_->Delete().ok());
  Write(10);
  ASSERT_TRUE(WaitUntil([&] { return sink_->jetstream_counters()->no_stream > 0; }));
  ASSERT_TRUE(stream_->Make().ok());
  ExpectStored(210);
  EXPECT_EQ(counters().replays, 1u);
}

TEST_F(PublishStream, ALostServerBetweenTwoBatchesIsNoRollback) {
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  for (int round = 0; round < 4; ++round) {
    Write(100);
    ASSERT_TRUE(server_->Restart().ok());
  }
  ExpectStored(400);
  EXPECT_EQ(counters().replays, 0u);
}

TEST_F(PublishStream, ARecordTheStreamNeverTakesIsALossAndTheOthersArrive) {
  ASSERT_TRUE(stream_->Make({.max_message_bytes = 900}).ok());
  StartPublisher();
  Write(3);
  flow::FlowRecord large = testing::StartRecord(made_++);
  large.cgroup = std::string(1500, 'x');
  audit_->Add(large);
  Write(3);
  ASSERT_TRUE(WaitUntil([&] { return counters().published == 6; })) << counters().published;
  EXPECT_EQ(counters().undecodable, 1u);
  EXPECT_EQ(lost_, 1u);
  EXPECT_EQ(stream_->Ids().size(), 6u);
}

// So slow that a full window is not acknowledged in time: with the same window again it would never be.
TEST_F(PublishStream, ASlowNetworkGetsFewerAtATimeAndTheStreamHasEachOnce) {
  auto proxy = testing::SlowProxy::Start(server_->port(), 300'000);
  ASSERT_TRUE(proxy.ok()) << proxy.status();
  ASSERT_TRUE(stream_->Make().ok());
  Write(3000);
  sink_options_.nats.urls = {absl::StrCat("nats://127.0.0.1:", (*proxy)->port())};
  sink_options_.stream.ack_timeout = absl::Milliseconds(1500);
  StartPublisher();
  EXPECT_TRUE(WaitUntil([&] { return counters().published == 3000; }, absl::Seconds(60))) << counters().published;
  EXPECT_GT(sink_->jetstream_counters()->ack_timeouts, 0u);
  ExpectStored(3000);
}

TEST_F(PublishStream, TheAgentTokenGoesWithRecordsAndHeads) {
  ASSERT_TRUE(WriteFileAtomically(dir_.File("token"), "a.b.c\n", 0600).ok());
  sink_options_.stream.agent_token_file = dir_.File("token");
  options_.heads.node = "n";
  ASSERT_TRUE(stream_->Make().ok());
  StartPublisher();
  Write(3);
  ASSERT_TRUE(AwaitSpoolEmpty());
  StopPublisher(absl::Seconds(5));
  const std::vector<StoredNatsMessage> messages = stream_->Messages();
  EXPECT_EQ(messages.size(), 4u);  // with the head at the end
  for (const StoredNatsMessage& message : messages) EXPECT_EQ(message.agent_token, "a.b.c") << message.msg_id;
}

class PublishHeads : public PublishStream {
 protected:
  void SetUp() override {
    PublishStream::SetUp();
    options_.heads = {
        .node = "n", .agent_id = "agent", .public_key = key_->public_key(), .interval = absl::Milliseconds(100)};
    ASSERT_TRUE(stream_->Make().ok());
  }
  std::map<std::string, nlohmann::json> HeadsInStream() {
    std::map<std::string, nlohmann::json> heads;
    for (const StoredNatsMessage& message : stream_->Messages()) {
      if (message.subject == audit::kHeadSubject) heads[message.msg_id] = nlohmann::json::parse(message.payload);
    }
    return heads;
  }
};

TEST_F(PublishHeads, TheLiveHeadIsTheNewestLineAndComesAtTheEndAtOnce) {
  options_.heads.interval = absl::Hours(1);
  StartPublisher();
  ASSERT_TRUE(WaitUntil([&] { return sink_->is_connected(); }));
  Write(7);
  const std::string head(audit_->head());
  StopPublisher(absl::Seconds(5));
  const auto heads = HeadsInStream();
  ASSERT_EQ(heads.count("head/n/b/7"), 1u) << heads.size();
  const nlohmann::json& json = heads.at("head/n/b/7");
  EXPECT_EQ(json["v"], 1);
  EXPECT_EQ(json["agentId"], "agent");
  EXPECT_EQ(json["node"], "n");
  EXPECT_EQ(json["boot"], "b");
  EXPECT_EQ(json["seq"], 7);
  EXPECT_EQ(json["h"], head);
  EXPECT_FALSE(json.contains("digest"));
}

TEST_F(PublishHeads, ADigestComesWithASignatureThatThePublicKeyVerifies) {
  StartPublisher();
  Write(5);
  ASSERT_TRUE(audit_->Reopen().ok());
  Write(5);
  ASSERT_TRUE(WaitUntil([&] { return HeadsInStream().count("digest/n/b/1") == 1; }));
  const nlohmann::json json = HeadsInStream().at("digest/n/b/1");
  EXPECT_EQ(json["seq"], 5);
  const std::string digest = json["digest"];
  EXPECT_EQ(digest, ReadFile(audit::DigestPath(path_, "b", 1)).value());
  EXPECT_EQ(audit::DecodeDigest(digest)->head, json["h"].get<std::string>());
  std::string signature, public_key;
  ASSERT_TRUE(absl::Base64Unescape(json["signature"].get<std::string>(), &signature));
  ASSERT_TRUE(absl::Base64Unescape(json["publicKey"].get<std::string>(), &public_key));
  EXPECT_EQ(public_key, key_->public_key());
  EXPECT_TRUE(audit::VerifySignature(public_key, digest, signature));
}

TEST_F(PublishHeads, ADigestThatWasNotAcknowledgedIsSentByTheNextProcess) {
  Write(5);
  ASSERT_TRUE(audit_->Reopen().ok());
  Write(1);
  ASSERT_TRUE(server_->Stop().ok());
  StartPublisher();
  absl::SleepFor(absl::Milliseconds(200));
  StopPublisher();
  ASSERT_TRUE(server_->Restart().ok());
  StartPublisher();
  EXPECT_TRUE(WaitUntil([&] { return HeadsInStream().count("digest/n/b/1") == 1; }));
  // And not again by the one after that.
  ASSERT_TRUE(WaitUntil([&] { return !ReadFile(audit::HeadsPath(path_)).value_or("").empty(); }));
  StopPublisher();
  StartPublisher();
  ASSERT_TRUE(WaitUntil([&] { return sink_->is_connected(); }));
  absl::SleepFor(absl::Milliseconds(300));
  EXPECT_EQ(sink_->jetstream_counters()->duplicates, 0u);
}

TEST_F(PublishHeads, ARolledBackStreamGetsTheDigestsAgain) {
  StartPublisher();
  Write(5);
  ASSERT_TRUE(AwaitSpoolEmpty());
  CopyStore();
  ASSERT_TRUE(audit_->Reopen().ok());
  Write(5);
  ASSERT_TRUE(WaitUntil([&] { return HeadsInStream().count("digest/n/b/1") == 1; }));
  RollBackStore();
  ASSERT_TRUE(WaitUntil([&] { return counters().replays == 1; }));
  EXPECT_TRUE(WaitUntil([&] { return HeadsInStream().count("digest/n/b/1") == 1; }));
  ExpectStored(10);
}

}  // namespace
}  // namespace lattice::dp
