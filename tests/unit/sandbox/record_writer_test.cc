// On a real file; a full disk is a file system that takes no append.
#include "userspace/sandbox/record_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/flow_records.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/audit/decoder.h"

namespace lattice::sandbox {
namespace {

using ::testing::ElementsAre;

constexpr absl::Duration kPatience = absl::Seconds(30);

class RecordWriterTest : public ::testing::Test {
 protected:
  RecordWriterTest() {
    file_options_.path = dir_.File("audit.jsonl");
    file_options_.node = "node-1";
    file_options_.boot = "bootaaaaaaaa";
    file_options_.agent_id = "agent-1";
    file_options_.iface = "wg0";
    file_options_.parked_path = dir_.File("parked");
  }
  void Create() {
    auto file = audit::AuditFile::Open(fs_, RealClock(), file_options_);
    ASSERT_TRUE(file.ok()) << file.status();
    writer_ = RecordWriter::Create(*std::move(file), options_);
  }
  // Numbers 0 to `count` - 1, which the pid tells.
  void Add(uint32_t from, uint32_t to) {
    for (uint32_t i = from; i < to; ++i) {
      flow::FlowRecord record = testing::StartRecord(i);
      record.pid = i + 1;
      writer_->Add(std::move(record));
    }
  }
  std::vector<flow::FlowRecord> Records(const std::string& path) {
    std::vector<flow::FlowRecord> records;
    const auto content = fs_.ReadWhole(path);
    EXPECT_TRUE(content.ok()) << content.status();
    for (const auto& line : absl::StrSplit(content.value_or(""), '\n', absl::SkipEmpty())) {
      auto decoded = audit::DecodeLine(line);
      EXPECT_TRUE(decoded.ok()) << decoded.status() << ": " << line;
      if (decoded.ok()) records.push_back(std::move(decoded->record));
    }
    return records;
  }
  std::vector<flow::FlowRecord> Records() { return Records(file_options_.path); }
  // All of `records` are those of Add(from, to), in order.
  static void ExpectNumbers(const std::vector<flow::FlowRecord>& records, size_t at, uint32_t from, uint32_t to) {
    ASSERT_GE(records.size(), at + to - from);
    for (uint32_t i = from; i < to; ++i) ASSERT_EQ(records[at + i - from].pid, i + 1);
  }

  testing::TempDir dir_;
  testing::FaultyFileSystem fs_;
  audit::AuditFileOptions file_options_;
  RecordWriter::Options options_;
  std::unique_ptr<RecordWriter> writer_;
};

TEST_F(RecordWriterTest, AllIsInTheFileInOrderAfterStop) {
  constexpr uint32_t kCount = 20'000;  // some batches
  uint64_t told = 0;
  audit::Head newest;
  options_.on_written = [&](uint64_t records, const audit::Head& head) {
    told += records;
    newest = head;
  };
  Create();
  writer_->Start();
  Add(0, kCount);
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), kCount);
  ExpectNumbers(records, 0, 0, kCount);
  for (uint32_t i = 0; i < kCount; ++i) ASSERT_EQ(records[i].seq, i + 1);
  EXPECT_EQ(told, kCount);
  EXPECT_EQ(newest.seq, kCount);
  EXPECT_EQ(writer_->counters().written, kCount);
  EXPECT_EQ(writer_->queued(), 0u);
  EXPECT_EQ(writer_->overflowed(), 0u);
}

TEST_F(RecordWriterTest, WritesWithoutBeingStopped) {
  absl::Notification written;
  options_.on_written = [&](uint64_t, const audit::Head&) { written.Notify(); };
  Create();
  writer_->Start();
  Add(0, 1);
  EXPECT_TRUE(written.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(Records().size(), 1u);
}

TEST_F(RecordWriterTest, ThreadsAddAtOnce) {
  constexpr uint32_t kEach = 2'000;
  Create();
  writer_->Start();
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) threads.emplace_back([this, t] { Add(t * kEach, (t + 1) * kEach); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  std::vector<uint32_t> next = {0, kEach, 2 * kEach, 3 * kEach};  // of each thread
  for (const flow::FlowRecord& record : Records()) ASSERT_EQ(record.pid, ++next[(record.pid - 1) / kEach]);
  EXPECT_THAT(next, ElementsAre(kEach, 2 * kEach, 3 * kEach, 4 * kEach));
}

TEST_F(RecordWriterTest, StopWritesWhatCameBeforeStart) {
  Create();
  Add(0, 3);
  EXPECT_TRUE(writer_->Stop(absl::ZeroDuration()).ok());
  EXPECT_EQ(Records().size(), 3u);
}

TEST_F(RecordWriterTest, AFullDiskDelaysAndLosesNothing) {
  Create();
  fs_.set_append_fails(true);
  writer_->Start();
  Add(0, 100);
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().write_failures >= 2; }, kPatience));
  Add(100, 200);
  fs_.set_append_fails(false);
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().written == 200; }, kPatience));
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 200u);
  ExpectNumbers(records, 0, 0, 200);
}

TEST_F(RecordWriterTest, AFullQueueTellsItsLossBehindWhatItKept) {
  options_.max_queued = 10;
  Create();
  Add(0, 17);  // nothing takes from the queue yet
  flow::FlowRecord loss =
      flow::LossRecord(testing::TestContext(), RealClock(), flow::kStageDeniedTable, 5, absl::Now(), absl::Now());
  writer_->Add(loss);
  loss.lost_count = 6;
  writer_->Add(loss);
  EXPECT_EQ(writer_->queued(), 10u);
  EXPECT_EQ(writer_->overflowed(), 7u);
  writer_->Start();
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().written == 12; }, kPatience));
  Add(17, 18);
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 13u);
  ExpectNumbers(records, 0, 0, 10);
  EXPECT_EQ(records[10].stage, flow::kStageDeniedTable);
  EXPECT_EQ(records[10].lost_count, 11u);
  EXPECT_EQ(records[11].event, flow::Event::kLoss);
  EXPECT_EQ(records[11].stage, flow::kStageDisk);
  EXPECT_EQ(records[11].lost_count, 7u);
  EXPECT_EQ(records[11].lost_from, testing::StartRecord(10).ts);
  ExpectNumbers(records, 12, 17, 18);
  EXPECT_EQ(writer_->counters().lost.Of(flow::kStageDisk), 7u);
}

TEST_F(RecordWriterTest, AddedLossesOfOneStageAreOne) {
  Create();
  writer_->AddLoss({.stage = flow::kStageDisk, .count = 2, .from = absl::FromUnixSeconds(20)});
  writer_->AddLoss({.stage = flow::kStageDisk, .count = 3, .from = absl::FromUnixSeconds(10)});
  writer_->AddLoss({.stage = flow::kStageDeleted, .count = 4, .from = absl::FromUnixSeconds(30)});
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].lost_count, 5u);
  EXPECT_EQ(records[0].lost_from, absl::FromUnixSeconds(10));
  EXPECT_EQ(records[1].lost_count, 4u);
}

TEST_F(RecordWriterTest, AStopOnAFullDiskCountsAndTheNextStartTells) {
  constexpr uint32_t kCount = 5'000;  // more than one batch
  Create();
  fs_.set_append_fails(true);
  Add(0, kCount);
  const absl::Status stopped = writer_->Stop(absl::Milliseconds(100));
  EXPECT_TRUE(absl::IsResourceExhausted(stopped)) << stopped;
  EXPECT_EQ(writer_->counters().lost.Of(flow::kStageDisk), kCount);
  writer_.reset();
  fs_.set_append_fails(false);
  Create();
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].stage, flow::kStageDisk);
  EXPECT_EQ(records[0].lost_count, kCount);
}

TEST_F(RecordWriterTest, AfterStopRecordsAreCountedOnly) {
  Create();
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  Add(0, 2);
  EXPECT_EQ(writer_->overflowed(), 2u);
  EXPECT_EQ(writer_->queued(), 0u);
}

TEST_F(RecordWriterTest, DropKeepsTheQueueMovingAndTellsTheNumber) {
  file_options_.disk_full = audit::DiskFull::kDrop;
  options_.max_queued = 10;
  Create();
  fs_.set_append_fails(true);
  writer_->Start();
  Add(0, 10);
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().lost.Of(flow::kStageDisk) == 10; }, kPatience));
  fs_.set_append_fails(false);
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].lost_count, 10u);
}

TEST_F(RecordWriterTest, DenyNewSaysWhenTheDiskFailsAndWhenItIsBack) {
  absl::Notification failed, back;
  file_options_.disk_full = audit::DiskFull::kDenyNew;
  file_options_.on_disk_failing = [&](bool failing) { (failing ? failed : back).Notify(); };
  Create();
  fs_.set_append_fails(true);
  writer_->Start();
  Add(0, 1);
  EXPECT_TRUE(failed.WaitForNotificationWithTimeout(kPatience));
  EXPECT_FALSE(back.HasBeenNotified());
  fs_.set_append_fails(false);
  EXPECT_TRUE(back.WaitForNotificationWithTimeout(kPatience));
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  EXPECT_EQ(Records().size(), 1u);
}

TEST_F(RecordWriterTest, ReopenBeginsAnotherFile) {
  Create();
  writer_->Start();
  Add(0, 1);
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().written == 1; }, kPatience));
  writer_->Reopen();
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().rotations == 1; }, kPatience));
  Add(1, 2);
  EXPECT_TRUE(writer_->Stop(kPatience).ok());
  const auto records = Records();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].pid, 2u);
}

TEST_F(RecordWriterTest, TicksEachSecond) {
  file_options_.rotate_after = absl::Milliseconds(1);
  Create();
  writer_->Start();
  Add(0, 1);
  EXPECT_TRUE(testing::WaitUntil([&] { return writer_->counters().rotations == 1; }, kPatience));
}

}  // namespace
}  // namespace lattice::sandbox
