#include "userspace/audit/publisher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/audit/publisher_fixture.h"

namespace lattice::audit {
namespace {

TEST_F(PublisherTest, PublishesEachRecordOnceInOrderUnderItsEventId) {
  Open();
  ASSERT_TRUE(Write(25).ok());
  NewPublisher();
  EXPECT_EQ(publisher_->counters().spool_records, 25);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(25));
  EXPECT_EQ(sink_.subject(), "lattice.audit.flow");
  EXPECT_EQ(sink_.delivered()[0].first, "node-1/bootaaaaaaaa/1");
  EXPECT_EQ(publisher_->counters().published, 25u);
  EXPECT_EQ(publisher_->counters().spool_records, 0);
}

TEST_F(PublisherTest, TheMessageIsUpstreamsShape) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  NewPublisher();
  Run();
  const nlohmann::json message = nlohmann::json::parse(sink_.delivered().at(0).second);
  EXPECT_EQ(message["agentId"], "agent-1");
  EXPECT_EQ(message["direction"], "egress");
  EXPECT_EQ(message["dstIp"], "198.51.100.9");
  EXPECT_TRUE(message["dstPort"].is_number_unsigned());
  EXPECT_TRUE(message["bytes"].is_number_unsigned());
  EXPECT_EQ(message["eventId"], "node-1/bootaaaaaaaa/1");
  EXPECT_FALSE(message.contains("h"));
}

TEST_F(PublisherTest, GoesOnFromItsStoredCursorAfterARestart) {
  Open();
  ASSERT_TRUE(Write(12).ok());
  NewPublisher();
  Run();
  publisher_.reset();
  ASSERT_TRUE(Write(3).ok());
  NewPublisher();
  EXPECT_EQ(publisher_->counters().spool_records, 3);
  Run();
  EXPECT_EQ(DeliveredSeqs(), UpTo(15));
}

TEST_F(PublisherTest, WithoutAConnectionTheSpoolGrowsAndNothingIsRead) {
  Open();
  NewPublisher();
  sink_.set_connected(false);
  ASSERT_TRUE(Write(5).ok());
  publisher_->Written(5);
  EXPECT_EQ(publisher_->Step(), Progress::kNotConnected);
  EXPECT_EQ(publisher_->counters().spool_records, 5);
  EXPECT_EQ(publisher_->counters().failed, 0u);
  sink_.set_connected(true);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(5));
  EXPECT_EQ(publisher_->counters().spool_records, 0);
}

TEST_F(PublisherTest, WhatIsDeletedBeforeItIsPublishedLeavesTheSpool) {
  Open();
  NewPublisher();
  sink_.set_connected(false);
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(2).ok());
  publisher_->Written(7);
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-1.jsonl").ok());
  sink_.set_connected(true);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(publisher_->counters().published, 2u);
  EXPECT_EQ(publisher_->counters().spool_records, 0);
}

TEST_F(PublisherTest, BacksOffDoublingAndStartsOverAfterSuccess) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  NewPublisher();
  sink_.set_connected(false);
  publisher_->Step();
  EXPECT_EQ(publisher_->backoff(), absl::Milliseconds(100));
  publisher_->Step();
  EXPECT_EQ(publisher_->backoff(), absl::Milliseconds(200));
  for (int i = 0; i < 10; ++i) publisher_->Step();
  EXPECT_EQ(publisher_->backoff(), absl::Seconds(5));
  sink_.set_connected(true);
  Run();
  EXPECT_EQ(publisher_->backoff(), absl::ZeroDuration());
}

TEST_F(PublisherTest, SendsAgainWhatWasNotFlushed) {
  Open();
  ASSERT_TRUE(Write(15).ok());
  NewPublisher();
  EXPECT_EQ(publisher_->Step(), Progress::kPublished);
  sink_.set_fail_flush(true);
  EXPECT_EQ(publisher_->Step(), Progress::kFailed);
  EXPECT_EQ(publisher_->counters().failed, 5u);
  EXPECT_EQ(publisher_->counters().spool_records, 5);
  sink_.set_fail_flush(false);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(15));
}

TEST_F(PublisherTest, WaitsForASlowServerAndSendsNothingTwice) {
  Open();
  ASSERT_TRUE(Write(15).ok());
  NewPublisher();
  sink_.set_slow_flushes(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(publisher_->Step(), Progress::kWaiting);
  EXPECT_EQ(publisher_->counters().spool_records, 15);
  EXPECT_EQ(publisher_->backoff(), absl::ZeroDuration());
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(15));
  EXPECT_EQ(publisher_->counters().published, 15u);
  EXPECT_EQ(publisher_->counters().failed, 0u);
}

TEST_F(PublisherTest, SendsAgainWhatASlowServerLostInTheEnd) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  NewPublisher();
  sink_.set_slow_flushes(1);
  sink_.set_fail_flush(true);
  EXPECT_EQ(publisher_->Step(), Progress::kWaiting);
  EXPECT_EQ(publisher_->Step(), Progress::kFailed);
  EXPECT_EQ(publisher_->counters().failed, 5u);
  sink_.set_fail_flush(false);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(5));
}

TEST_F(PublisherTest, SendsTheWholeBatchAgainWhenTheConnectionBreaksInside) {
  Open();
  ASSERT_TRUE(Write(8).ok());
  NewPublisher();
  sink_.set_fail_publish_at(3);
  EXPECT_EQ(publisher_->Step(), Progress::kFailed);
  EXPECT_EQ(publisher_->counters().failed, 3u);
  sink_.set_fail_publish_at(SIZE_MAX);
  EXPECT_EQ(Run(), Progress::kIdle);
  std::set<uint64_t> seqs;
  for (const uint64_t seq : DeliveredSeqs()) seqs.insert(seq);
  EXPECT_EQ(seqs.size(), 8u) << "none is missing; some came twice under their id";
}

TEST_F(PublisherTest, TheCursorIsNeverAheadOfWhatWasFlushed) {
  Open();
  ASSERT_TRUE(Write(30).ok());
  NewPublisher();
  publisher_->Step();
  sink_.set_fail_flush(true);
  publisher_->Step();
  publisher_.reset();  // stores the cursor
  EXPECT_EQ(LoadCursor(fs_, CursorPath(kPath)).value()->seq, 10u);
}

TEST_F(PublisherTest, StoresTheCursorAtItsIntervalAndWhenIdle) {
  publishing_.cursor_interval = absl::Seconds(1);
  Open();
  ASSERT_TRUE(Write(30).ok());
  NewPublisher();
  clock_.Advance(absl::Seconds(2));
  publisher_->Step();
  EXPECT_EQ(LoadCursor(fs_, CursorPath(kPath)).value()->seq, 10u);
  publisher_->Step();
  EXPECT_EQ(LoadCursor(fs_, CursorPath(kPath)).value()->seq, 10u);
  clock_.Advance(absl::Seconds(1));
  publisher_->Step();
  EXPECT_EQ(LoadCursor(fs_, CursorPath(kPath)).value()->seq, 30u);
  ASSERT_TRUE(Write(1).ok());
  Run();
  EXPECT_EQ(LoadCursor(fs_, CursorPath(kPath)).value()->seq, 31u);
}

TEST_F(PublisherTest, ACursorThatCannotBeStoredDoesNotStopIt) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  NewPublisher();
  fs_.fail_write_atomically = absl::ResourceExhaustedError("full");
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(3));
}

TEST_F(PublisherTest, ADamagedCursorPublishesEverythingAgain) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  fs_.SetContent(CursorPath(kPath), "garbage");
  NewPublisher();
  Run();
  EXPECT_EQ(DeliveredSeqs(), UpTo(3));
}

TEST_F(PublisherTest, SkipsALineThatIsNoRecord) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  std::string content = fs_.Content(kPath);
  const size_t second = content.find('\n') + 1;
  content.insert(second, "garbage\n");
  audit_.reset();
  fs_.SetContent(kPath, content);
  NewPublisher();
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), UpTo(3));
  EXPECT_EQ(publisher_->counters().undecodable, 1u);
  EXPECT_EQ(publisher_->counters().spool_records, 0);
}

TEST_F(PublisherTest, ARecordThatTheServerNeverTakesHoldsUpNoOther) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  sink_.set_refuse("node-1/bootaaaaaaaa/2");
  NewPublisher();
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(DeliveredSeqs(), (std::vector<uint64_t>{1, 3}));
  EXPECT_EQ(publisher_->counters().undecodable, 1u);
}

TEST_F(PublisherTest, TellsOnceWhatItSkips) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  fs_.SetContent(kPath, fs_.Content(kPath) + "garbage\n" + std::string(kMaxLineBytes + 1, 'x') + "\n");
  sink_.set_refuse("node-1/bootaaaaaaaa/2");
  NewPublisher();
  sink_.set_fail_flush(true);
  EXPECT_EQ(publisher_->Step(), Progress::kFailed);
  EXPECT_TRUE(losses_.empty()) << "not before it is certain";
  sink_.set_fail_flush(false);
  EXPECT_EQ(Run(), Progress::kIdle);
  ASSERT_EQ(losses_.size(), 1u);
  EXPECT_EQ(losses_[0].stage, flow::kStageUnpublishable);
  EXPECT_EQ(losses_[0].count, 3u);
  EXPECT_EQ(losses_[0].first_seq, 2u);
  EXPECT_EQ(losses_[0].last_seq, 2u);
}

TEST_F(PublisherTest, TellsSegmentsThatWereTakenAway) {
  Open();
  NewPublisher();
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(Run(), Progress::kIdle);
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-3.jsonl").ok());
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Run(), Progress::kIdle);
  ASSERT_EQ(losses_.size(), 1u);
  EXPECT_EQ(losses_[0].stage, flow::kStageSegmentMissing);
  EXPECT_EQ(losses_[0].count, 3u);
  EXPECT_EQ(losses_[0].first_seq, 3u);
  EXPECT_EQ(losses_[0].last_seq, 5u);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(losses_.size(), 1u) << "once";
}

TEST_F(PublisherTest, DoesNotTellAgainWhatALossRecordTells) {
  Open();
  NewPublisher();
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(Run(), Progress::kIdle);
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(fs_.Remove(kPath).ok());  // under the writer, who notices
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(Losses().size(), 1u);
  EXPECT_TRUE(losses_.empty());
}

TEST(Subtract, LeavesWhatIsOnBothSides) {
  std::vector<SeqRange> ranges = {{"a", 10, 20}, {"b", 10, 20}};
  Subtract(ranges, {"a", 12, 15});
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].last, 11u);
  EXPECT_EQ(ranges[1].first, 16u);
  EXPECT_EQ(ranges[2].boot, "b");
  Subtract(ranges, {"a", 1, 30});
  EXPECT_EQ(ranges.size(), 1u);
}

TEST_F(PublisherTest, FollowsRotationAndReboots) {
  Open();
  NewPublisher();
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(Write(3).ok());
    if (i % 2 == 0) Run();
    ASSERT_TRUE(audit_->Reopen().ok());
  }
  audit_.reset();
  options_.boot = "bootbbbbbbbb";
  Open();
  ASSERT_TRUE(Write(2).ok());
  Run();
  std::vector<uint64_t> want = UpTo(15);
  want.insert(want.end(), {1, 2});
  EXPECT_EQ(DeliveredSeqs(), want);
}

TEST_F(PublisherTest, UnderRandomFaultsAndRestartsNoRecordIsMissing) {
  std::mt19937_64 random(testing::TestSeed());
  options_.rotate_bytes = 10'000;
  options_.spool_cap_bytes = 0;
  Open();
  NewPublisher();
  for (int step = 0; step < 1'500; ++step) {
    if (random() % 3 == 0) {
      ASSERT_TRUE(Write(random() % 6).ok());
    }
    sink_.set_connected(random() % 5 != 0);
    sink_.set_fail_flush(random() % 5 == 0);
    sink_.set_slow_flushes(random() % 5 == 0 ? static_cast<int>(random() % 3) : 0);
    sink_.set_fail_publish_at(random() % 5 == 0 ? random() % 10 : SIZE_MAX);
    if (random() % 50 == 0) {
      // kill -9: the cursor stays where it was stored last.
      const std::string cursor = fs_.Content(CursorPath(kPath));
      publisher_.reset();
      if (!cursor.empty()) fs_.SetContent(CursorPath(kPath), cursor);
      NewPublisher();
    }
    publisher_->Step();
  }
  sink_.set_connected(true);
  sink_.set_fail_flush(false);
  sink_.set_slow_flushes(0);
  sink_.set_fail_publish_at(SIZE_MAX);
  EXPECT_EQ(Run(), Progress::kIdle);
  std::map<uint64_t, std::string> by_seq;
  const std::vector<uint64_t> seqs = DeliveredSeqs();
  const auto delivered = sink_.delivered();
  for (size_t i = 0; i < seqs.size(); ++i) {
    const auto [at, is_new] = by_seq.emplace(seqs[i], delivered[i].second);
    EXPECT_EQ(at->second, delivered[i].second) << "the same id is the same record";
  }
  EXPECT_EQ(by_seq.size(), made_);
}

// The thread, on real files.
class PublisherThreadTest : public ::testing::Test {
 protected:
  PublisherThreadTest() {
    options_.path = dir_.File("audit.jsonl");
    options_.node = "n";
    options_.boot = "bootaaaaaaaa";
    audit_ = AuditFile::Open(RealFileSystem(), RealClock(), options_).value();
    publishing_.audit_path = options_.path;
    publishing_.min_backoff = absl::Milliseconds(1);
    publishing_.max_backoff = absl::Milliseconds(10);
    publisher_ = Publisher::Create(RealFileSystem(), RealClock(), sink_, publishing_).value();
  }
  void Write(uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      flow::FlowRecord record = testing::StartRecord(i);
      audit_->Add(record);
    }
    ASSERT_TRUE(audit_->Commit().ok());
    publisher_->Written(count);
  }
  testing::TempDir dir_;
  FakeSink sink_;
  AuditFileOptions options_;
  PublisherOptions publishing_;
  std::unique_ptr<AuditFile> audit_;
  std::unique_ptr<Publisher> publisher_;
};

TEST_F(PublisherThreadTest, PublishesWhileRecordsAreWritten) {
  publisher_->Start();
  for (int i = 0; i < 20; ++i) Write(100);
  EXPECT_TRUE(sink_.AwaitDelivered(2'000));
  publisher_->Stop(absl::Seconds(60));
  EXPECT_EQ(sink_.delivered().size(), 2'000u);
  EXPECT_EQ(publisher_->counters().spool_records, 0);
}

TEST_F(PublisherThreadTest, StopDrainsWhatTheFileHolds) {
  Write(5'000);
  publisher_->Start();
  publisher_->Stop(absl::Seconds(60));
  EXPECT_EQ(sink_.delivered().size(), 5'000u);
  EXPECT_EQ(LoadCursor(RealFileSystem(), CursorPath(options_.path)).value()->seq, 5'000u);
}

TEST_F(PublisherThreadTest, StopDoesNotWaitForAServerThatIsAway) {
  sink_.set_connected(false);
  Write(10);
  publisher_->Start();
  publisher_->Stop(absl::Hours(1));
  EXPECT_EQ(publisher_->counters().spool_records, 10);
}

TEST_F(PublisherThreadTest, WakesUpForAServerThatComesBack) {
  sink_.set_connected(false);
  publisher_->Start();
  Write(10);
  sink_.set_connected(true);
  EXPECT_TRUE(sink_.AwaitDelivered(10));
}

}  // namespace
}  // namespace lattice::audit
