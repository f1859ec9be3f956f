// Rings to file: what the file has not taken stays in the rings.
#include "userspace/dp/recorder.h"

#include <gtest/gtest.h>

#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/integration/datapath_fixture.h"
#include "tests/testing/faulty_file_system.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"

namespace lattice::dp {
namespace {

using ::lattice::testing::WaitUntil;

class RecorderTest : public datapath::DatapathTest {
 protected:
  void StartRecorder(audit::AuditFileOptions options) {
    auto datapath = Create(DefaultOptions(), datapath::Allow({"198.51.100.0/24"}));
    ASSERT_TRUE(datapath.ok()) << datapath.status();
    datapath_ = *std::move(datapath);
    Name(options, "audit.jsonl");
    options.on_disk_failing = [this](bool failing) { failing_ = failing; };
    auto audit = audit::AuditFile::Open(fs_, RealClock(), options);
    ASSERT_TRUE(audit.ok()) << audit.status();
    RecorderOptions recorder_options;
    recorder_options.iface = datapath::kDevice;
    recorder_options.ledger_path = dir_.File("told");
    recorder_options.on_written = [](uint64_t, const audit::Head&) {};
    auto recorder = Recorder::Create(*datapath_, *std::move(audit), std::move(recorder_options));
    ASSERT_TRUE(recorder.ok()) << recorder.status();
    recorder_ = *std::move(recorder);
    recorder_->Start();
  }
  void Name(audit::AuditFileOptions& options, const std::string& name) {
    options.path = dir_.File(name);
    options.node = "n";
    options.boot = "b";
    options.parked_path = dir_.File("losses");
  }
  void TearDown() override {
    recorder_ = nullptr;
    datapath_ = nullptr;
    DatapathTest::TearDown();
  }
  uint64_t Pending() {
    const auto ring = datapath::RingReader::OpenPinned(folder() + "/flow_ring");
    return ring.ok() ? (*ring)->pending_bytes() : 0;
  }
  bool InFile(absl::string_view text) {
    const auto content = ReadFile(dir_.File("audit.jsonl"));
    return content.ok() && absl::StrContains(*content, text);
  }

  testing::TempDir dir_;
  testing::FaultyFileSystem fs_;
  std::atomic<bool> failing_{false};
  std::unique_ptr<datapath::Datapath> datapath_;
  std::unique_ptr<Recorder> recorder_;
};

TEST_F(RecorderTest, WithSyncOfEachBatchTheRingKeepsWhatIsWrittenButNotSynced) {
  StartRecorder({.sync = audit::SyncPolicy::kBatch});
  fs_.set_sync_fails(true);
  EXPECT_TRUE(Crosses("198.51.100.7", 4321));
  ASSERT_TRUE(WaitUntil([&] { return InFile("4321") && failing_; }));
  // Over some retries, which find nothing left to write.
  ASSERT_TRUE(WaitUntil([&] { return recorder_->audit_counters().sync_failures >= 4; }));
  EXPECT_TRUE(failing_) << "the operator is told";
  EXPECT_GT(Pending(), 0u);
  EXPECT_EQ(datapath_->next_seq(), 0u);
  fs_.set_sync_fails(false);
  EXPECT_TRUE(WaitUntil([&] { return Pending() == 0; }));
  EXPECT_FALSE(failing_);
  EXPECT_GT(datapath_->next_seq(), 1u);
}

TEST_F(RecorderTest, IsWatchedFromItsStart) {
  StartRecorder({});
  EXPECT_NE(recorder_->counters().alive_ns, 0);
}

// With the pins gone the kernel keeps nothing: rings and tables go with this process.
TEST_F(RecorderTest, ADetachCountsWhatAFileThatIsFullDoesNotTake) {
  StartRecorder({});
  fs_.set_append_fails(true);
  constexpr int kPairs = 5;  // of flows: the tested one and the marker's
  for (uint16_t i = 0; i < kPairs; ++i) EXPECT_TRUE(Crosses("198.51.100.7", 4000 + i));
  ASSERT_TRUE(WaitUntil([&] { return failing_.load(); }));
  const absl::Time start = absl::Now();
  const absl::Status stopped = recorder_->Stop(absl::Seconds(1), /*end_all=*/true);
  EXPECT_FALSE(stopped.ok());
  EXPECT_LT(absl::Now() - start, absl::Seconds(15));
  constexpr uint64_t kRecords = 2 * 2 * kPairs;  // a start and an end each
  EXPECT_GE(recorder_->audit_counters().lost.Of(flow::kStageDisk), kRecords);
  fs_.set_append_fails(false);
  audit::AuditFileOptions options;
  Name(options, "next.jsonl");
  auto next = audit::AuditFile::Open(fs_, RealClock(), options);
  ASSERT_TRUE(next.ok()) << next.status();
  ASSERT_TRUE((*next)->Commit().ok());
  const auto told = ReadFile(options.path);
  ASSERT_TRUE(told.ok());
  EXPECT_TRUE(
      absl::StrContains(*told, absl::StrCat("\"count\":", recorder_->audit_counters().lost.Of(flow::kStageDisk), ",")))
      << *told;
}

}  // namespace
}  // namespace lattice::dp
