// Rotation, and what others do to the file.
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/digest.h"

namespace lattice::audit {
namespace {

class AuditFileRotateTest : public AuditFixture {
 protected:
  static constexpr char kFirst[] = "d/audit-bootaaaaaaaa-1.jsonl";
  static constexpr char kFirstDigest[] = "d/audit-bootaaaaaaaa-1.digest";
};

TEST_F(AuditFileRotateTest, BySizeANewSegmentBeginsBeforeTheBatchThatWouldNotFit) {
  options_.rotate_bytes = 10'000;
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(fs_.Exists(kFirst));
  for (const Segment& segment : Segments()) EXPECT_LE(segment.info.size, 10'000);
  EXPECT_EQ(Records().size(), 50u);
  EXPECT_GE(audit_->counters().rotations, 3u);
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, ABatchLargerThanASegmentIsNotSplit) {
  options_.rotate_bytes = 1'000;
  Open();
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(Write(5).ok());
  EXPECT_EQ(RecordsOf(kFirst).size(), 5u);
  EXPECT_EQ(RecordsOf(kPath).size(), 5u);
}

TEST_F(AuditFileRotateTest, ByTimeCountedFromTheFirstLineAlsoOverARestart) {
  options_.rotate_after = absl::Minutes(10);
  Open();
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_FALSE(fs_.Exists(kFirst)) << "an empty segment is not rotated";
  flow::FlowRecord record = testing::StartRecord();
  record.ts = clock_.Now();
  audit_->Add(record);
  ASSERT_TRUE(audit_->Commit().ok());
  clock_.Advance(absl::Minutes(6));
  Restart();
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_FALSE(fs_.Exists(kFirst));
  clock_.Advance(absl::Minutes(4));
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_TRUE(fs_.Exists(kFirst));
}

TEST_F(AuditFileRotateTest, OnReopenUnlessTheSegmentIsEmpty) {
  Open();
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_EQ(fs_.Paths(), std::vector<std::string>{kPath});
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_EQ(RecordsOf(kFirst).size(), 2u);
  EXPECT_EQ(fs_.Content(kPath), "");
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(RecordsOf(kPath).at(0).seq, 3u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, TheDigestTellsWhatTheClosedSegmentHolds) {
  Open();
  ASSERT_TRUE(Write(4).ok());
  const std::string head(audit_->head());
  ASSERT_TRUE(audit_->Reopen().ok());
  const SegmentDigest digest = DecodeDigest(fs_.Content(kFirstDigest)).value();
  EXPECT_EQ(digest.name, "audit-bootaaaaaaaa-1.jsonl");
  EXPECT_EQ(digest.boot, "bootaaaaaaaa");
  EXPECT_EQ(digest.first_seq, 1u);
  EXPECT_EQ(digest.last_seq, 4u);
  EXPECT_EQ(digest.lines, 4u);
  EXPECT_EQ(digest.bytes, static_cast<int64_t>(fs_.Content(kFirst).size()));
  EXPECT_EQ(digest.sha256, HashOfDigest(fs_.Content(kFirst)));
  EXPECT_EQ(digest.head, head);
  EXPECT_EQ(digest.previous, "");
  EXPECT_EQ(digest.closed, clock_.Now());

  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_EQ(DecodeDigest(fs_.Content("d/audit-bootaaaaaaaa-5.digest"))->previous,
            HashOfDigest(fs_.Content(kFirstDigest)));
}

TEST_F(AuditFileRotateTest, TheDigestIsTheSameAfterARestartInsideTheSegment) {
  Open();
  ASSERT_TRUE(Write(4).ok());
  Restart();
  ASSERT_TRUE(Write(4).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_EQ(DecodeDigest(fs_.Content(kFirstDigest))->lines, 8u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, ADigestThatCouldNotBeWrittenIsWrittenLater) {
  Open();
  ASSERT_TRUE(Write(4).ok());
  fs_.fail_write_atomically = absl::ResourceExhaustedError("full");
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(4).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_FALSE(audit_->Tick().ok());
  fs_.fail_write_atomically = absl::OkStatus();
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_TRUE(fs_.Exists(kFirstDigest));
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, ARenameThatFailsLeavesTheOldFileInUse) {
  options_.rotate_bytes = 2'000;
  Open();
  fs_.fail_rename = absl::PermissionDeniedError("no");
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(RecordsOf(kPath).size(), 10u);
  fs_.fail_rename = absl::OkStatus();
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(RecordsOf(kFirst).size(), 10u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, ANewFileThatDoesNotOpenIsTriedAgainAndNothingIsLost) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  fs_.fail_open_append = absl::ResourceExhaustedError("no inodes");
  EXPECT_FALSE(audit_->Reopen().ok());
  EXPECT_FALSE(Write(2).ok());
  EXPECT_EQ(audit_->batch_records(), 2u);
  fs_.fail_open_append = absl::OkStatus();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(Records().size(), 4u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, FollowsARenameByLogrotate) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(fs_.Rename(kPath, "d/audit.jsonl.1").ok());
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(RecordsOf("d/audit.jsonl.1").size(), 2u);
  EXPECT_EQ(RecordsOf(kPath).size(), 2u);
  EXPECT_EQ(audit_->counters().damages, 0u);
  EXPECT_TRUE(fs_.Exists(kFirstDigest));
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, FollowsARenameThatCreatesANewEmptyFile) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(fs_.Rename(kPath, "d/audit.jsonl-20260202").ok());
  fs_.SetContent(kPath, "");
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(Records().size(), 4u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, MovesAsideWhatSomebodyElsePutAtThePath) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(fs_.Rename(kPath, "d/audit.jsonl.1").ok());
  fs_.SetContent(kPath, "not ours\n");
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(fs_.Content("d/audit.jsonl.found"), "not ours\n");
  EXPECT_EQ(Records().size(), 4u);
}

TEST_F(AuditFileRotateTest, ATruncationIsALossThatNamesTheNumbers) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  fs_.TruncateTo(kPath, 0);
  ASSERT_TRUE(Write(2).ok());
  const std::vector<flow::FlowRecord> records = RecordsOf(kPath);
  ASSERT_EQ(records.size(), 3u);
  EXPECT_EQ(records[0].seq, 6u);
  EXPECT_EQ(records[2].stage, flow::kStageTruncated);
  EXPECT_EQ(records[2].lost_count, 5u);
  EXPECT_EQ(records[2].lost_first_seq, 1u);
  EXPECT_EQ(records[2].lost_last_seq, 5u);
  EXPECT_EQ(audit_->counters().damages, 1u);
}

TEST_F(AuditFileRotateTest, ATruncationOfAnIdleFileIsFoundByTick) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  fs_.TruncateTo(kPath, 0);
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_EQ(Losses().size(), 1u);
}

TEST_F(AuditFileRotateTest, ACutEndIsALossOfWhatIsMissingAndTheRestIsKept) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  const std::string content = fs_.Content(kPath);
  fs_.TruncateTo(kPath, content.size() / 2);
  ASSERT_TRUE(Write(1).ok());
  const flow::FlowRecord loss = RecordsOf(kPath).at(1);
  EXPECT_EQ(loss.stage, flow::kStageTruncated);
  EXPECT_EQ(loss.lost_first_seq, 3u);
  EXPECT_EQ(loss.lost_last_seq, 5u);
  EXPECT_EQ(fs_.Content(kFirst), content.substr(0, content.size() / 2));
}

TEST_F(AuditFileRotateTest, CopytruncateLosesNothingThatIsInTheCopy) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  fs_.SetContent("d/audit.jsonl.1", fs_.Content(kPath));
  fs_.TruncateTo(kPath, 0);
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(Records().size(), 8u);
  ExpectNumbersWithoutHoles();
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, ADeletedFileIsALoss) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(fs_.Remove(kPath).ok());
  ASSERT_TRUE(Write(2).ok());
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].stage, flow::kStageDeleted);
  EXPECT_EQ(Losses()[0].lost_count, 5u);
  EXPECT_EQ(RecordsOf(kPath).front().seq, 6u);
}

TEST_F(AuditFileRotateTest, WhatSomebodyElseWroteIntoTheFileEndsTheSegment) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  fs_.SetContent(kPath, fs_.Content(kPath) + "hello\n");
  ASSERT_TRUE(Write(2).ok());
  EXPECT_TRUE(absl::EndsWith(fs_.Content(kFirst), "hello\n"));
  EXPECT_EQ(RecordsOf(kPath).size(), 2u);
  const VerifyReport report = VerifyChain(fs_, kPath, {}).value();
  EXPECT_FALSE(report.ok());
}

TEST_F(AuditFileRotateTest, TheOldestSegmentsGoWhenTheCapIsReached) {
  options_.rotate_bytes = 4'000;
  options_.spool_cap_bytes = 12'000;
  Open();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(Write(5).ok());
  int64_t total = 0;
  for (const Segment& segment : Segments()) total += segment.info.size;
  EXPECT_LE(total, 16'000);
  EXPECT_GT(audit_->counters().segments_deleted, 10u);
  EXPECT_FALSE(fs_.Exists(kFirst));
  EXPECT_FALSE(fs_.Exists(kFirstDigest));
  EXPECT_TRUE(Losses().empty()) << "nothing is published, so nothing is owed";
  EXPECT_EQ(Records().back().seq, 100u);
  ExpectVerified();
}

TEST_F(AuditFileRotateTest, DeletingWhatIsNotPublishedIsALoss) {
  options_.rotate_bytes = 4'000;
  options_.spool_cap_bytes = 12'000;
  options_.publishing = true;
  Open();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(StoreCursor(fs_, CursorPath(kPath), {.boot = options_.boot, .first_seq = 1, .offset = 1, .seq = 3}).ok());
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(audit_->Tick().ok());
  const std::vector<flow::FlowRecord> losses = Losses();
  ASSERT_GE(losses.size(), 2u);
  EXPECT_EQ(losses[0].stage, flow::kStageSpoolCap);
  EXPECT_EQ(losses[0].lost_count, 2u);
  EXPECT_EQ(losses[0].lost_first_seq, 4u);
  EXPECT_EQ(losses[0].lost_last_seq, 5u);
  EXPECT_EQ(losses[1].lost_first_seq, 6u);
  ExpectVerified();
}

}  // namespace
}  // namespace lattice::audit
