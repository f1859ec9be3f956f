// Disks that are full, broken or lose their power.
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/testing/seed.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lattice::audit {
namespace {

class AuditFileFaultTest : public AuditFixture {
 protected:
  int64_t LineBytes() { return static_cast<int64_t>(fs_.Content(kPath).size() / Records().size()); }
};

TEST_F(AuditFileFaultTest, ShortWritesAreContinued) {
  Open();
  fs_.append_at_most = 7;
  ASSERT_TRUE(Write(3).ok());
  EXPECT_EQ(Records().size(), 3u);
  ExpectVerified();
}

TEST_F(AuditFileFaultTest, OnAFullDiskWholeLinesStayAndTheRestWaits) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  fs_.disk_bytes = LineBytes() * 7 / 2;  // room for two and a half more
  EXPECT_EQ(Write(5).code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Records().size(), 3u);
  ExpectWholeLines();
  EXPECT_EQ(audit_->batch_records(), 3u);
  EXPECT_EQ(audit_->next_seq(), 4u);
  EXPECT_EQ(audit_->counters().write_failures, 1u);
  EXPECT_EQ(audit_->counters().lost.Of(flow::kStageDisk), 0u);

  fs_.disk_bytes.reset();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(Records().size(), 6u);
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileFaultTest, TheRetryDelayDoublesToItsBoundAndEndsWithSuccess) {
  Open();
  EXPECT_EQ(audit_->retry_delay(), absl::ZeroDuration());
  fs_.fail_append = absl::ResourceExhaustedError("full");
  EXPECT_FALSE(Write(1).ok());
  EXPECT_EQ(audit_->retry_delay(), absl::Milliseconds(50));
  EXPECT_FALSE(audit_->Commit().ok());
  EXPECT_EQ(audit_->retry_delay(), absl::Milliseconds(100));
  for (int i = 0; i < 10; ++i) EXPECT_FALSE(audit_->Commit().ok());
  EXPECT_EQ(audit_->retry_delay(), absl::Seconds(5));
  fs_.fail_append = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(audit_->retry_delay(), absl::ZeroDuration());
}

TEST_F(AuditFileFaultTest, TellsWhenTheDiskFailsAndWhenItWorksAgain) {
  std::vector<bool> calls;
  options_.disk_full = DiskFull::kDenyNew;
  options_.on_disk_failing = [&](bool failing) { calls.push_back(failing); };
  Open();
  fs_.fail_append = absl::InternalError("EIO");
  EXPECT_FALSE(Write(1).ok());
  EXPECT_FALSE(audit_->Commit().ok());
  EXPECT_EQ(calls, std::vector<bool>{true});
  fs_.fail_append = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(calls, (std::vector<bool>{true, false}));
}

TEST_F(AuditFileFaultTest, WithDropTheCountIsToldOnceThereIsRoom) {
  options_.disk_full = DiskFull::kDrop;
  Open();
  ASSERT_TRUE(Write(1).ok());
  const absl::Time from = clock_.Now();
  fs_.disk_bytes = LineBytes() * 7 / 2;
  EXPECT_TRUE(Write(5).ok());
  ExpectWholeLines();
  for (int i = 0; i < 4; ++i) {
    clock_.Advance(absl::Seconds(1));
    EXPECT_TRUE(Write(10).ok());
    EXPECT_TRUE(audit_->Tick().ok());
  }
  EXPECT_EQ(audit_->batch_records(), 0u);
  EXPECT_EQ(audit_->counters().lost.Of(flow::kStageDisk), 43u);
  fs_.disk_bytes.reset();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].stage, flow::kStageDisk);
  EXPECT_EQ(Losses()[0].lost_count, 43u);
  EXPECT_EQ(Losses()[0].lost_from, from);
  EXPECT_EQ(Losses()[0].lost_to, clock_.Now());
  EXPECT_EQ(Records().size(), 6u);
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileFaultTest, WithDropTheNewsOfOtherLossesIsNotDropped) {
  options_.disk_full = DiskFull::kDrop;
  Open();
  fs_.fail_append = absl::ResourceExhaustedError("full");
  flow::FlowRecord loss =
      flow::LossRecord(testing::TestContext(), clock_, flow::kStageDeniedTable, 7, clock_.Now(), clock_.Now());
  audit_->Add(loss);
  EXPECT_TRUE(Write(2).ok());
  EXPECT_TRUE(Write(2).ok());
  EXPECT_EQ(audit_->counters().lost.Of(flow::kStageDisk), 4u);
  fs_.fail_append = absl::OkStatus();
  ASSERT_TRUE(audit_->Tick().ok());
  ASSERT_EQ(Losses().size(), 2u);
  EXPECT_EQ(Losses()[0].lost_count, 7u);
  EXPECT_EQ(Losses()[1].lost_count, 4u);
  ExpectVerified();
}

// The count of what was dropped is itself no record, and the process may be killed before there is room for one.
TEST_F(AuditFileFaultTest, WithDropAKillLosesNoNewsOfLosses) {
  options_.disk_full = DiskFull::kDrop;
  options_.parked_path = "run/losses";
  Open();
  ASSERT_TRUE(Write(1).ok());
  fs_.fail_append = absl::ResourceExhaustedError("full");
  flow::FlowRecord loss =
      flow::LossRecord(testing::TestContext(), clock_, flow::kStageDeniedTable, 7, clock_.Now(), clock_.Now());
  audit_->Add(loss);
  EXPECT_TRUE(Write(3).ok());
  EXPECT_TRUE(audit_->losses_safe());
  Restart();
  EXPECT_TRUE(Write(2).ok());
  Restart();
  fs_.fail_append = absl::OkStatus();
  ASSERT_TRUE(Write(1).ok());
  uint64_t disk = 0;
  for (const flow::FlowRecord& told : Losses()) {
    if (told.stage == flow::kStageDisk) disk += told.lost_count;
  }
  EXPECT_EQ(disk, 5u);
  EXPECT_EQ(Losses().size(), 2u);
  EXPECT_FALSE(fs_.Exists("run/losses"));
  Restart();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(Losses().size(), 2u) << "each once";
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileFaultTest, WithBlockAKillLosesNoNewsOfLosses) {
  options_.parked_path = "run/losses";
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(fs_.Remove(kPath).ok());
  fs_.fail_append = absl::ResourceExhaustedError("full");
  EXPECT_FALSE(Write(1).ok());
  EXPECT_TRUE(audit_->losses_safe());
  fs_.fail_append = absl::OkStatus();
  Restart();
  ASSERT_TRUE(audit_->Commit().ok());
  ASSERT_FALSE(Losses().empty());
  EXPECT_EQ(Losses()[0].stage, flow::kStageDeleted);
  EXPECT_EQ(Losses()[0].lost_count, 3u);
}

TEST_F(AuditFileFaultTest, WithoutAPlaceForItTheNewsIsNotSafeAndTheEndSaysSo) {
  options_.disk_full = DiskFull::kDrop;
  Open();
  fs_.fail_append = absl::ResourceExhaustedError("full");
  EXPECT_TRUE(Write(2).ok());
  EXPECT_FALSE(audit_->losses_safe());
  EXPECT_EQ(audit_->Close().code(), absl::StatusCode::kResourceExhausted);
  fs_.fail_append = absl::OkStatus();
  EXPECT_TRUE(audit_->Close().ok());
  EXPECT_TRUE(audit_->losses_safe());
}

TEST_F(AuditFileFaultTest, AHalfLineThatCouldNotBeCutIsCutBeforeTheNextWrite) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  fs_.disk_bytes = LineBytes() * 5 / 2;
  fs_.fail_truncate = absl::InternalError("EIO");
  EXPECT_FALSE(Write(3).ok());
  EXPECT_NE(fs_.Content(kPath).back(), '\n');
  fs_.disk_bytes.reset();
  EXPECT_FALSE(audit_->Commit().ok()) << "not after a half line";
  EXPECT_NE(fs_.Content(kPath).back(), '\n');
  fs_.fail_truncate = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(Records().size(), 4u);
  ExpectVerified();
}

TEST_F(AuditFileFaultTest, AFailedSyncFailsTheBatchAndIsTriedAgainWithoutWritingTwice) {
  std::vector<bool> failing;
  options_.on_disk_failing = [&](bool now) { failing.push_back(now); };
  options_.sync = SyncPolicy::kBatch;
  Open();
  fs_.fail_sync = absl::InternalError("EIO");
  EXPECT_FALSE(Write(2).ok());
  EXPECT_EQ(audit_->retry_delay(), absl::Milliseconds(50));
  EXPECT_FALSE(audit_->Commit().ok());
  EXPECT_EQ(audit_->retry_delay(), absl::Milliseconds(100));
  EXPECT_EQ(audit_->counters().sync_failures, 2u);
  EXPECT_EQ(failing, std::vector<bool>{true});
  fs_.fail_sync = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(failing, (std::vector<bool>{true, false}));
  EXPECT_EQ(audit_->retry_delay(), absl::ZeroDuration());
  EXPECT_EQ(Records().size(), 2u);
}

TEST_F(AuditFileFaultTest, AFileThatIsNotSyncedIsNotLeftForTheNext) {
  options_.sync = SyncPolicy::kBatch;
  options_.rotate_bytes = 100;  // each batch begins a new file
  Open();
  fs_.fail_sync = absl::InternalError("EIO");
  EXPECT_FALSE(Write(1).ok());
  EXPECT_FALSE(Write(1).ok());
  EXPECT_FALSE(audit_->Reopen().ok());
  EXPECT_EQ(Segments().size(), 1u);
  fs_.fail_sync = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  ASSERT_TRUE(Write(1).ok());
  fs_.PowerOff();
  EXPECT_EQ(Records().size(), 3u);
}

TEST_F(AuditFileFaultTest, APathThatCannotBeOpenedIsNamedWithItsFlag) {
  fs_.fail_open_append = absl::PermissionDeniedError("opening d/audit.jsonl: Permission denied");
  const absl::Status status = AuditFile::Open(fs_, clock_, options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(status.message(), "--audit-log d/audit.jsonl: opening d/audit.jsonl: Permission denied");
}

TEST_F(AuditFileFaultTest, WhatWasSyncedSurvivesAPowerCut) {
  options_.sync = SyncPolicy::kBatch;
  Open();
  ASSERT_TRUE(Write(5).ok());
  audit_.reset();
  fs_.PowerOff();
  options_.boot = "bootbbbbbbbb";
  Open();
  EXPECT_EQ(Records().size(), 5u);
  ASSERT_TRUE(Write(1).ok());
  ExpectVerified();
}

// Random writes, rotations and power cuts that leave a random part of the unsynced data, also as zeros.
TEST_F(AuditFileFaultTest, AfterAnyPowerCutEveryWholeLineIsGoodAndTheChainGoesOn) {
  std::mt19937_64 random(testing::TestSeed());
  for (int boot = 0; boot < 60; ++boot) {
    options_.boot = absl::StrCat("boot", boot);
    Open();
    ASSERT_NE(audit_, nullptr);
    for (uint64_t batch = random() % 6; batch > 0; --batch) {
      ASSERT_TRUE(Write(random() % 5).ok());
      if (random() % 4 == 0) {
        ASSERT_TRUE(audit_->Reopen().ok());
      }
      if (random() % 3 == 0) {
        clock_.Advance(absl::Seconds(2));
        ASSERT_TRUE(audit_->Tick().ok());
      }
    }
    audit_.reset();
    fs_.PowerOff(random() % 2'000, random() % 2 == 0);
    clock_.SetWall(clock_.Now() - absl::Seconds(random() % 100));  // and the clock may have stepped back
  }
  options_.boot = "last";
  Open();
  ASSERT_TRUE(Write(1).ok());
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

// A disk that is full or fails at random; nothing may be lost, doubled or half-written.
TEST_F(AuditFileFaultTest, WithBlockNoFaultLosesOrDoublesARecord) {
  std::mt19937_64 random(testing::TestSeed());
  options_.rotate_bytes = 20'000;
  options_.spool_cap_bytes = 0;
  Open();
  for (int step = 0; step < 2'000; ++step) {
    fs_.disk_bytes.reset();
    fs_.fail_append = fs_.fail_truncate = fs_.fail_rename = fs_.fail_open_append = fs_.fail_write_atomically =
        absl::OkStatus();
    fs_.append_at_most = random() % 3 == 0 ? 1 + random() % 2'000 : SIZE_MAX;
    const absl::Status error = absl::InternalError("EIO");
    if (random() % 4 == 0) fs_.disk_bytes = static_cast<int64_t>(random() % 200'000);
    if (random() % 8 == 0) fs_.fail_append = error;
    if (random() % 8 == 0) fs_.fail_truncate = error;
    if (random() % 8 == 0) fs_.fail_rename = error;
    if (random() % 8 == 0) fs_.fail_open_append = error;
    if (random() % 8 == 0) fs_.fail_write_atomically = error;
    // Failures are expected here; what counts is the end.
    (void)Write(random() % 4);
    if (random() % 16 == 0) (void)audit_->Tick();
    if (random() % 64 == 0) (void)audit_->Reopen();
  }
  fs_.disk_bytes.reset();
  fs_.append_at_most = SIZE_MAX;
  fs_.fail_append = fs_.fail_truncate = fs_.fail_rename = fs_.fail_open_append = fs_.fail_write_atomically =
      absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  ASSERT_TRUE(audit_->Tick().ok());
  const std::vector<flow::FlowRecord> records = Records();
  ASSERT_EQ(records.size(), made_);
  for (size_t i = 0; i < records.size(); ++i) {
    ASSERT_EQ(records[i].seq, i + 1);
    ASSERT_EQ(records[i].monotonic_ns, testing::StartRecord(i).monotonic_ns);
  }
  ExpectVerified();
}

}  // namespace
}  // namespace lattice::audit
