// Against the real server: acknowledged means stored, and what the stream lost is noticed.
#include "userspace/nats/jetstream_publisher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/audit_stream.h"
#include "tests/testing/nats_server.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

namespace lattice::nats {
namespace {

using ::lattice::testing::AuditStream;
using ::lattice::testing::NatsServer;
using ::lattice::testing::NatsServerOptions;
using ::lattice::testing::TempDir;
using ::lattice::testing::WaitUntil;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr absl::Duration kLong = absl::Seconds(20);
constexpr char kSubject[] = "lattice.audit.flow";

class JetStream : public ::testing::Test {
 protected:
  void SetUp() override { Start({.jetstream = true}); }
  void Start(const NatsServerOptions& options) {
    publisher_ = nullptr;
    connection_ = nullptr;
    stream_ = nullptr;
    auto server = NatsServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto stream = AuditStream::Connect(server_->url());
    ASSERT_TRUE(stream.ok()) << stream.status();
    stream_ = *std::move(stream);
  }
  void Open(JetStreamOptions options = {}) {
    publisher_ = nullptr;
    auto connection = Connection::Create({.urls = {server_->url()}, .reconnect_wait = absl::Milliseconds(20)});
    ASSERT_TRUE(connection.ok()) << connection.status();
    connection_ = *std::move(connection);
    publisher_ = std::make_unique<JetStreamPublisher>(*connection_, std::move(options));
  }
  // The number of the session, once there is one.
  uint64_t Begin() {
    absl::StatusOr<uint64_t> epoch = absl::UnavailableError("");
    EXPECT_TRUE(WaitUntil([&] { return (epoch = publisher_->Begin()).ok(); })) << epoch.status();
    return epoch.value_or(0);
  }
  absl::Status PublishIds(int first, int last, absl::Duration timeout = kLong) {
    for (int i = first; i <= last; ++i) {
      const absl::Status published =
          publisher_->Publish(kSubject, absl::StrCat("payload ", i), absl::StrCat("n/b/", i));
      if (!published.ok()) return published;
    }
    return publisher_->Flush(timeout);
  }
  const JetStreamCounters& counters() const { return publisher_->counters(); }

  std::unique_ptr<NatsServer> server_;
  std::unique_ptr<AuditStream> stream_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<JetStreamPublisher> publisher_;
  TempDir dir_;
};

TEST_F(JetStream, WhatIsFlushedIsInTheStreamOnceAndInOrder) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  EXPECT_FALSE(publisher_->last_stored().has_value());
  ASSERT_TRUE(PublishIds(1, 5000).ok());
  const auto messages = stream_->Messages();
  ASSERT_THAT(messages, SizeIs(5000));
  for (int i = 0; i < 5000; ++i) {
    EXPECT_EQ(messages[i].msg_id, absl::StrCat("n/b/", i + 1));
    EXPECT_EQ(messages[i].payload, absl::StrCat("payload ", i + 1));
    EXPECT_EQ(messages[i].agent_token, "");
  }
  ASSERT_TRUE(publisher_->last_stored().has_value());
  EXPECT_EQ(publisher_->last_stored()->sequence, 5000u);
  EXPECT_EQ(publisher_->last_stored()->msg_id, "n/b/5000");
  EXPECT_EQ(counters().acked, 5000u);
  EXPECT_EQ(counters().in_flight, 0);
}

// To the stream, what has an id that it has seen is a repetition.
TEST_F(JetStream, AnIdThatSomebodyElseUsedFirstHidesNoMessageOfAWriterWithAToken) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  ASSERT_TRUE(PublishIds(1, 1).ok());
  ASSERT_TRUE(WriteFileAtomically(dir_.File("token"), "secret\n", 0600).ok());
  Open({.agent_token_file = dir_.File("token")});
  Begin();
  ASSERT_TRUE(PublishIds(1, 1).ok());
  ASSERT_TRUE(PublishIds(1, 1).ok());  // its own repetition is one still
  EXPECT_EQ(counters().duplicates, 1u);
  const auto messages = stream_->Messages();
  ASSERT_THAT(messages, SizeIs(2));
  EXPECT_THAT(messages[1].msg_id, ::testing::StartsWith("n/b/1~"));
  const auto holds = publisher_->Holds(*publisher_->last_stored());
  EXPECT_TRUE(holds.ok() && *holds) << holds.status();
}

TEST_F(JetStream, ASmallWindowIsWaitedForAndAllArrive) {
  ASSERT_TRUE(stream_->Make().ok());
  Open({.window = 16});
  Begin();
  ASSERT_TRUE(PublishIds(1, 2000).ok());
  EXPECT_EQ(stream_->Count(), 2000);
  EXPECT_GT(counters().window_full, 0u);
}

// As a quiet node does it: the library has one message at a time.
TEST_F(JetStream, OneMessageAfterTheOtherArrives) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  for (int i = 1; i <= 3000; ++i) {
    const absl::Status flushed = PublishIds(i, i);
    ASSERT_TRUE(flushed.ok()) << i << ": " << flushed;
  }
  EXPECT_EQ(stream_->Count(), 3000);
}

// The acknowledgements come while nobody waits for them any more. What was not flushed is published again.
TEST_F(JetStream, EndingWithMessagesOnTheirWayDoesNoHarm) {
  constexpr int kRounds = 100, kMessages = 400;
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  for (int round = 0; round < kRounds; ++round) {
    const absl::Duration patience = round % 2 == 0 ? absl::Milliseconds(2) : kLong;
    publisher_ = std::make_unique<JetStreamPublisher>(*connection_, JetStreamOptions{.ack_timeout = patience});
    Begin();
    for (int i = 0; i < kMessages; ++i) {
      ASSERT_TRUE(publisher_->Publish(kSubject, "x", absl::StrCat("n/b/", round * kMessages + i)).ok());
    }
    if (round % 4 > 1) (void)publisher_->Flush(absl::Milliseconds(1));
  }
  publisher_ = std::make_unique<JetStreamPublisher>(*connection_, JetStreamOptions());
  Begin();
  ASSERT_TRUE(PublishIds(0, kRounds * kMessages - 1).ok());
  EXPECT_EQ(stream_->Count(), kRounds * kMessages);
}

// An error ends an epoch in the middle of the answers; the session goes on, and with it those answers.
TEST_F(JetStream, AnswersToAnEpochThatFailedAreNoneToTheNextOnOneSession) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  int next = 0;
  for (int round = 0; round < 30; ++round) {
    const int first = next;
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(publisher_->Publish("of.no.stream", "x", "n/b/lost").ok());
    for (; next < first + 100; ++next) {
      ASSERT_TRUE(publisher_->Publish(kSubject, "x", absl::StrCat("n/b/", next)).ok());
    }
    const absl::Status failed = publisher_->Flush(kLong);
    ASSERT_TRUE(absl::IsUnavailable(failed)) << failed;
    EXPECT_EQ(counters().in_flight, 0);
    const uint64_t duplicates = counters().duplicates;
    Begin();
    const absl::Status flushed = PublishIds(first, next - 1);
    ASSERT_TRUE(flushed.ok()) << flushed;
    // All of this epoch is acknowledged: those that the stream had already as duplicates.
    EXPECT_EQ(publisher_->last_stored()->msg_id, absl::StrCat("n/b/", next - 1));
    EXPECT_LE(counters().duplicates - duplicates, 100u);
    EXPECT_EQ(stream_->Count(), next);
    EXPECT_EQ(counters().in_flight, 0);
  }
  EXPECT_EQ(connection_->reconnects(), 0u);
}

TEST_F(JetStream, TheTokenOfTheFileGoesWithEveryMessageAndIsReadAnewAtEachConnection) {
  ASSERT_TRUE(stream_->Make().ok());
  ASSERT_TRUE(WriteFileAtomically(dir_.File("token"), "first\n", 0600).ok());
  Open({.agent_token_file = dir_.File("token")});
  Begin();
  ASSERT_TRUE(PublishIds(1, 2).ok());
  ASSERT_TRUE(WriteFileAtomically(dir_.File("token"), "second", 0600).ok());
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(WaitUntil([&] { return connection_->reconnects() == 1; }));
  Begin();
  ASSERT_TRUE(PublishIds(3, 3).ok());
  const auto messages = stream_->Messages();
  ASSERT_THAT(messages, SizeIs(3));
  EXPECT_EQ(messages[1].agent_token, "first");
  EXPECT_EQ(messages[2].agent_token, "second");
}

TEST_F(JetStream, ATokenFileThatIsGoneHoldsUpPublishingAndIsNamed) {
  ASSERT_TRUE(stream_->Make().ok());
  Open({.agent_token_file = dir_.File("missing")});
  ASSERT_TRUE(WaitUntil([&] { return connection_->connected(); }));
  const absl::Status status = publisher_->Begin().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(dir_.File("missing")));
  ASSERT_TRUE(WriteFileAtomically(dir_.File("missing"), "two\nlines", 0600).ok());
  EXPECT_FALSE(publisher_->Begin().ok());  // a line end would be another header
}

TEST_F(JetStream, WithoutTheStreamNothingPassesAndTheRemedyIsNamed) {
  Open();
  ASSERT_TRUE(WaitUntil([&] { return connection_->connected(); }));
  const absl::Status status = publisher_->Begin().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("start `latticed`, which makes it"));
  EXPECT_EQ(counters().no_stream, 1u);
  EXPECT_TRUE(absl::IsUnavailable(publisher_->Publish(kSubject, "x", "1")));
  ASSERT_TRUE(stream_->Make().ok());
  Begin();
  EXPECT_TRUE(PublishIds(1, 10).ok());
  EXPECT_EQ(stream_->Count(), 10);
}

TEST_F(JetStream, WhenTheStreamGoesBetweenBeginAndPublishTheFlushSaysSo) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  ASSERT_TRUE(stream_->Delete().ok());
  const absl::Status flushed = PublishIds(1, 1);
  EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("latticed"));
  EXPECT_EQ(counters().no_stream, 1u);
}

TEST_F(JetStream, AServerWithoutJetStreamIsNamed) {
  Start({});
  Open();
  ASSERT_TRUE(WaitUntil([&] { return connection_->connected(); }));
  const absl::Status status = publisher_->Begin().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("--nats-jetstream=false"));
}

TEST_F(JetStream, AServerThatStandsStillIsWaitedForAndThenAllIsSentAgainWithoutADouble) {
  ASSERT_TRUE(stream_->Make().ok());
  Open({.ack_timeout = absl::Milliseconds(300)});
  Begin();
  ASSERT_TRUE(server_->Pause().ok());
  const absl::Status first = PublishIds(1, 100, absl::Milliseconds(20));
  EXPECT_TRUE(absl::IsDeadlineExceeded(first)) << first;
  EXPECT_EQ(counters().in_flight, 100);
  EXPECT_EQ(counters().acked, 0u);
  const absl::Status second = publisher_->Flush(kLong);
  EXPECT_TRUE(absl::IsUnavailable(second)) << second;
  EXPECT_GT(counters().ack_timeouts, 0u);
  EXPECT_EQ(counters().in_flight, 0);
  ASSERT_TRUE(server_->Resume().ok());
  Begin();
  ASSERT_TRUE(PublishIds(1, 100).ok());
  EXPECT_EQ(stream_->Count(), 100);
  EXPECT_EQ(counters().duplicates, 100u);
  // The answer to a duplicate tells where the message is.
  ASSERT_TRUE(publisher_->last_stored().has_value());
  EXPECT_EQ(publisher_->last_stored()->sequence, 100u);
}

TEST_F(JetStream, AnErrorEndsTheEpochAndALateAnswerIsNotTakenForTheNextOne) {
  ASSERT_TRUE(stream_->Make().ok());
  Open({.ack_timeout = absl::Milliseconds(100)});
  const uint64_t before = Begin();
  EXPECT_EQ(Begin(), before);
  ASSERT_TRUE(server_->Pause().ok());
  EXPECT_TRUE(absl::IsUnavailable(PublishIds(1, 3)));
  EXPECT_TRUE(absl::IsUnavailable(publisher_->Publish(kSubject, "x", "n/b/4")));
  EXPECT_TRUE(absl::IsUnavailable(publisher_->Flush(kLong)));
  ASSERT_TRUE(server_->Resume().ok());
  EXPECT_GT(Begin(), before);
  EXPECT_TRUE(publisher_->Flush(kLong).ok());
  EXPECT_FALSE(publisher_->last_stored().has_value());
}

TEST_F(JetStream, ALostConnectionFailsTheFlushAtOnce) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  const uint64_t before = Begin();
  ASSERT_TRUE(publisher_->Publish(kSubject, "x", "n/b/1").ok());
  server_->Kill();
  const absl::Time start = absl::Now();
  // The acknowledgement may have been faster than the end.
  if (const absl::Status flushed = PublishIds(2, 2); !flushed.ok()) {
    EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
  ASSERT_TRUE(server_->Restart().ok());
  EXPECT_GT(Begin(), before);
}

TEST_F(JetStream, AMessageTheStreamNeverTakesIsToldAndTheOthersAreStored) {
  ASSERT_TRUE(stream_->Make({.max_message_bytes = 200}).ok());
  Open();
  Begin();
  ASSERT_TRUE(publisher_->Publish(kSubject, std::string(400, 'x'), "n/b/large").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(publisher_->Publish(kSubject, std::string(2 << 20, 'x'), "n/b/huge")));
  EXPECT_TRUE(absl::IsInvalidArgument(publisher_->Publish("a b", "x", "1")));
  ASSERT_TRUE(PublishIds(1, 3).ok());
  const std::vector<RefusedMessage> refused = publisher_->TakeRefused();
  ASSERT_THAT(refused, SizeIs(1));
  EXPECT_EQ(refused[0].msg_id, "n/b/large");
  EXPECT_THAT(refused[0].reason, HasSubstr("exceeds maximum"));
  EXPECT_THAT(publisher_->TakeRefused(), SizeIs(0));
  EXPECT_EQ(stream_->Count(), 3);
}

TEST_F(JetStream, ARefusalOfTheServerEndsTheSessionAndIsNamed) {
  constexpr char kDenied[] =
      R"(no_auth_user: u
         authorization { users = [{user: u, password: p, permissions: {publish: {deny: ["lattice.audit.flow"]}}}] })";
  Start({.jetstream = true, .config = kDenied});
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  const absl::Status flushed = PublishIds(1, 1);
  EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("Permissions Violation"));
}

TEST_F(JetStream, AServerThatForbidsTheQuestionForTheStreamIsNamed) {
  constexpr char kDenied[] =
      R"(no_auth_user: u
         authorization { users = [{user: u, password: p,
                                   permissions: {publish: {deny: ["$JS.API.STREAM.INFO.>"]}}}] })";
  Start({.jetstream = true, .config = kDenied});
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  ASSERT_TRUE(WaitUntil([&] { return connection_->connected(); }));
  const absl::Status status = publisher_->Begin().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("or where no latticed answers to $JS.API.STREAM.INFO.LATTICE_AUDIT"));
}

// What follows: the stream lost what it had acknowledged.

TEST_F(JetStream, HoldsWhatIsThereAndWhatItsLimitsDropped) {
  ASSERT_TRUE(stream_->Make({.max_messages = 5}).ok());
  Open();
  Begin();
  ASSERT_TRUE(PublishIds(1, 3).ok());
  const StoredMessage third = *publisher_->last_stored();
  ASSERT_TRUE(PublishIds(4, 10).ok());
  const StoredMessage tenth = *publisher_->last_stored();
  EXPECT_TRUE(publisher_->Holds(tenth).value());
  EXPECT_TRUE(publisher_->Holds(third).value());  // dropped as the stream was told to
  StoredMessage other = tenth;
  other.msg_id = "n/b/77";
  EXPECT_FALSE(publisher_->Holds(other).value());
  other = tenth;
  other.sequence = 11;
  EXPECT_FALSE(publisher_->Holds(other).value());
}

TEST_F(JetStream, AStreamMadeAnewHoldsNothingOfTheOldOne) {
  ASSERT_TRUE(stream_->Make().ok());
  Open({.check_interval = absl::ZeroDuration()});
  const uint64_t before = Begin();
  ASSERT_TRUE(PublishIds(1, 3).ok());
  const StoredMessage third = *publisher_->last_stored();
  ASSERT_TRUE(stream_->Delete().ok());
  ASSERT_TRUE(stream_->Make().ok());
  // Without any error of a publish: by the look at the stream.
  EXPECT_GT(Begin(), before);
  EXPECT_FALSE(publisher_->Holds(third).value());
  ASSERT_TRUE(PublishIds(1, 3).ok());
  EXPECT_FALSE(publisher_->Holds(third).value());
  EXPECT_TRUE(publisher_->Holds(*publisher_->last_stored()).value());
}

TEST_F(JetStream, ASequenceThatGoesBackwardsIsAnErrorOfTheFlush) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  const uint64_t before = Begin();
  ASSERT_TRUE(PublishIds(1, 3).ok());
  ASSERT_TRUE(stream_->Delete().ok());
  ASSERT_TRUE(stream_->Make().ok());
  const absl::Status flushed = PublishIds(4, 5);
  EXPECT_TRUE(absl::IsUnavailable(flushed)) << flushed;
  EXPECT_THAT(std::string(flushed.message()), HasSubstr("went backwards"));
  EXPECT_GT(Begin(), before);
}

TEST_F(JetStream, AStoreRolledBackNoLongerHoldsWhatCameAfter) {
  ASSERT_TRUE(stream_->Make().ok());
  Open();
  Begin();
  ASSERT_TRUE(PublishIds(1, 10).ok());
  const StoredMessage tenth = *publisher_->last_stored();
  ASSERT_TRUE(server_->Stop().ok());
  std::filesystem::copy(server_->store(), dir_.File("copy"), std::filesystem::copy_options::recursive);
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(WaitUntil([&] { return connection_->reconnects() == 1; }));
  Begin();
  ASSERT_TRUE(PublishIds(11, 20).ok());
  const StoredMessage twentieth = *publisher_->last_stored();
  server_->Kill();
  std::filesystem::remove_all(server_->store());
  std::filesystem::copy(dir_.File("copy"), server_->store(), std::filesystem::copy_options::recursive);
  ASSERT_TRUE(server_->Restart().ok());
  ASSERT_TRUE(WaitUntil([&] { return connection_->reconnects() == 2; }));
  Begin();
  EXPECT_FALSE(publisher_->Holds(twentieth).value());
  EXPECT_TRUE(publisher_->Holds(tenth).value());
  // Others go on where we were: the number is there again, the message is not.
  ASSERT_TRUE(PublishIds(31, 45).ok());
  EXPECT_FALSE(publisher_->Holds(twentieth).value());
}

}  // namespace
}  // namespace lattice::nats
