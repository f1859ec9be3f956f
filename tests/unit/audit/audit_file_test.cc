// Writing, and starting again.
#include "userspace/audit/audit_file.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/lines.h"

namespace lattice::audit {
namespace {

using AuditFileTest = AuditFixture;

TEST_F(AuditFileTest, NumbersRecordsFromOneAndWritesThemInOneAppend) {
  Open();
  const int before = fs_.appends;
  ASSERT_TRUE(Write(100).ok());
  EXPECT_EQ(fs_.appends, before + 1);
  const std::vector<flow::FlowRecord> records = Records();
  ASSERT_EQ(records.size(), 100u);
  EXPECT_EQ(records.front().seq, 1u);
  EXPECT_EQ(records.back().seq, 100u);
  EXPECT_EQ(records.back().node, "node-1");
  EXPECT_EQ(records.back().boot, "bootaaaaaaaa");
  EXPECT_EQ(audit_->next_seq(), 101u);
  EXPECT_EQ(audit_->counters().written, 100u);
  ExpectVerified();
}

TEST_F(AuditFileTest, NothingIsInTheFileBeforeCommit) {
  Open();
  Add(3);
  EXPECT_EQ(fs_.Content(kPath), "");
  EXPECT_EQ(audit_->next_seq(), 1u);
  EXPECT_EQ(audit_->batch_records(), 3u);
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(audit_->batch_records(), 0u);
}

TEST_F(AuditFileTest, AnEmptyCommitWritesNothing) {
  Open();
  const int before = fs_.appends;
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_EQ(fs_.appends, before);
}

TEST_F(AuditFileTest, GoesOnInNumberAndChainAfterARestart) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  const std::string head(audit_->head());
  Restart();
  EXPECT_EQ(audit_->head(), head);
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(Records().size(), 5u);
  EXPECT_EQ(Records().back().seq, 5u);
  EXPECT_EQ(fs_.Paths().size(), 1u);
  ExpectVerified();
}

TEST_F(AuditFileTest, GoesOnFromTheFileWhereTheKernelKnowsLess) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();  // killed before info.next_seq was stored
  options_.min_next_seq = 1;
  Open();
  EXPECT_EQ(audit_->next_seq(), 4u);
}

TEST_F(AuditFileTest, TellsAHoleWhereTheKernelKnowsMore) {
  options_.min_next_seq = 11;
  Open();
  EXPECT_EQ(audit_->next_seq(), 11u);
  ASSERT_TRUE(Write().ok());
  const flow::FlowRecord loss = Losses().at(0);
  EXPECT_EQ(loss.stage, flow::kStageSeqHole);
  EXPECT_EQ(loss.seq, 11u);
  EXPECT_EQ(loss.lost_count, 10u);
  EXPECT_EQ(loss.lost_first_seq, 1u);
  EXPECT_EQ(loss.lost_last_seq, 10u);
}

// After a detach the kernel knows no number any more, and the next start may name another file.
TEST_F(AuditFileTest, ANewPathInTheSameBootGivesNoNumberOutAgain) {
  options_.mark_path = "run/seq";
  Open();
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(audit_->Close().ok());
  audit_.reset();
  options_.path = "other/audit.jsonl";
  Open();
  EXPECT_EQ(audit_->next_seq(), 6u);
  Add(2);
  ASSERT_TRUE(audit_->Tick().ok());
  audit_.reset();
  for (const flow::FlowRecord& record : RecordsOf("other/audit.jsonl")) EXPECT_NE(record.event, flow::Event::kLoss);
  // Back at the first one, the numbers of the second are missing in it.
  options_.path = kPath;
  Open();
  ASSERT_TRUE(Write(1).ok());
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].lost_first_seq, 6u);
  EXPECT_EQ(Losses()[0].lost_last_seq, 7u);
  audit_.reset();
  // Numbers are of a boot.
  options_.path = "third/audit.jsonl";
  options_.boot = "bootbbbbbbbb";
  Open();
  EXPECT_EQ(audit_->next_seq(), 1u);
}

TEST_F(AuditFileTest, AFolderThatLostItsFilesUnderAdoptedRingsIsToldInSpiteOfTheMark) {
  options_.mark_path = "run/seq";
  Open();
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(audit_->Close().ok());
  ASSERT_TRUE(fs_.Remove(kPath).ok());
  options_.rings_adopted = true;
  Restart();
  ASSERT_TRUE(Write(1).ok());
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].lost_count, 5u);
}

// Damage that came after the segment was closed: its digest still knows how it ended.
TEST_F(AuditFileTest, ADamagedClosedSegmentDoesNotRestartNumbersAndChain) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  const std::string head(audit_->head());
  ASSERT_TRUE(audit_->Reopen().ok());
  audit_.reset();
  const std::string closed = "d/audit-bootaaaaaaaa-1.jsonl";
  std::string content = fs_.Content(closed);
  content[content.size() - 100] = '\0';
  fs_.SetContent(closed, content);
  Open();
  EXPECT_EQ(audit_->next_seq(), 4u);
  EXPECT_EQ(audit_->head(), head);
  audit_.reset();
  // Without the digest, from the last line that can be read.
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-1.digest").ok());
  Open();
  EXPECT_EQ(audit_->next_seq(), 3u);
  EXPECT_NE(audit_->head(), kChainStart);
}

TEST_F(AuditFileTest, CutsAPartialLastLine) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  const std::string whole = fs_.Content(kPath);
  for (const std::string& rest :
       std::vector<std::string>{"{", "{\"identity\":\"agent-1\",\"src_ip\":\"192.0.2.7\"", std::string(3, '\0')}) {
    fs_.SetContent(kPath, whole + rest);
    options_.rings_adopted = true;
    Open();
    EXPECT_EQ(fs_.Content(kPath), whole);
    EXPECT_EQ(audit_->next_seq(), 4u);
    EXPECT_EQ(audit_->counters().damages, 1u);
    ASSERT_TRUE(audit_->Commit().ok());
    EXPECT_EQ(fs_.Content(kPath), whole) << "the ring still has that record: no loss";
    audit_.reset();
  }
}

TEST_F(AuditFileTest, ACutLineIsALossWhereTheRingIsGone) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  fs_.SetContent(kPath, fs_.Content(kPath) + "{\"iden");
  Open();
  ASSERT_TRUE(audit_->Commit().ok());
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].stage, flow::kStagePartialLine);
  EXPECT_EQ(Losses()[0].lost_count, 1u);
  EXPECT_EQ(Losses()[0].seq, 4u);
  ExpectVerified();
}

TEST_F(AuditFileTest, AFileThatIsOnlyAPartialLineIsEmptied) {
  fs_.SetContent(kPath, "{\"identity\":\"ag");
  Open();
  EXPECT_EQ(fs_.Content(kPath), "");
  EXPECT_EQ(audit_->next_seq(), 1u);
}

TEST_F(AuditFileTest, RefusesAFileThatIsNotOurs) {
  for (const char* content : {"#!/bin/sh\necho hello\n", "{\"a\":1}\n", "SQLite format 3",
                              "\x7f"
                              "ELF\n"}) {
    fs_.SetContent(kPath, content);
    const absl::Status status = AuditFile::Open(fs_, clock_, options_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_TRUE(absl::StrContains(status.message(), "--audit-log d/audit.jsonl")) << status;
    EXPECT_EQ(fs_.Content(kPath), content) << "and leaves it as it is";
  }
}

TEST_F(AuditFileTest, RefusesAFileThatAnotherProcessWrites) {
  Open();
  const absl::Status status = AuditFile::Open(fs_, clock_, options_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(AuditFileTest, SaysWhatIsMissingInItsOptions) {
  options_.boot = "";
  EXPECT_EQ(AuditFile::Open(fs_, clock_, options_).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(AuditFileTest, KnowsTheRecordsOfTheUncommittedBatchAndFindsEachOnce) {
  Open();
  ASSERT_TRUE(Write(10).ok());
  clock_.Advance(absl::Hours(1));
  Restart();
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_TRUE(audit_->AlreadyWritten(testing::KernelStart(i))) << i;
    EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelStart(i))) << i;
  }
  EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelStart(10)));
  EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelEnd(0)));
  EXPECT_EQ(audit_->counters().duplicates, 10u);
}

TEST_F(AuditFileTest, KnowsRecordsOnBothSidesOfARotation) {
  Open();
  ASSERT_TRUE(Write(5).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(5).ok());
  clock_.Advance(absl::Hours(1));
  Restart();
  for (uint64_t i = 0; i < 10; ++i) EXPECT_TRUE(audit_->AlreadyWritten(testing::KernelStart(i))) << i;
}

TEST_F(AuditFileTest, RemembersNoMoreThanItIsTold) {
  options_.recover_records = 4;
  Open();
  ASSERT_TRUE(Write(10).ok());
  clock_.Advance(absl::Hours(1));
  Restart();
  for (uint64_t i = 0; i < 10; ++i) EXPECT_EQ(audit_->AlreadyWritten(testing::KernelStart(i)), i >= 6) << i;
}

TEST_F(AuditFileTest, ARecordOfAnotherBootIsNeverTheSame) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  clock_.Advance(absl::Hours(1));
  audit_.reset();
  options_.boot = "bootbbbbbbbb";
  Open();
  EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelStart(0)));
}

TEST_F(AuditFileTest, ARecordThatCameAfterTheStartIsNew) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  Restart();  // the clock stands at 1 s, the record is of 5 s
  EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelStart(0)));
}

TEST_F(AuditFileTest, ForgetsWhenToldTo) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  clock_.Advance(absl::Hours(1));
  Restart();
  audit_->ForgetRecovered();
  EXPECT_FALSE(audit_->AlreadyWritten(testing::KernelStart(0)));
}

TEST_F(AuditFileTest, ANewBootBeginsANewSegmentAndNumbersFromOneOnTheSameChain) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  options_.boot = "bootbbbbbbbb";
  Open();
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(RecordsOf("d/audit-bootaaaaaaaa-1.jsonl").size(), 3u);
  const std::vector<flow::FlowRecord> live = RecordsOf(kPath);
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(live[0].seq, 1u);
  EXPECT_TRUE(fs_.Exists("d/audit-bootaaaaaaaa-1.digest"));
  ExpectVerified();
}

TEST_F(AuditFileTest, GoesOnWithTheNumbersOfTheClosedSegmentAfterACrashInsideARotation) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  ASSERT_TRUE(fs_.Rename(kPath, "d/audit-bootaaaaaaaa-1.jsonl").ok());  // and no new file, no digest
  Open();
  ASSERT_TRUE(Write(2).ok());
  EXPECT_EQ(RecordsOf(kPath).front().seq, 4u);
  EXPECT_TRUE(fs_.Exists("d/audit-bootaaaaaaaa-1.digest"));
  ExpectVerified();
}

TEST_F(AuditFileTest, GoesOnWithTheNumbersOfItsBootWhereAnotherBootSeemsNewer) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  audit_.reset();
  flow::FlowRecord record = testing::StartRecord();
  record.node = "node-1";
  record.boot = "bootbbbbbbbb";
  record.seq = 1;
  record.ts = clock_.Now() + absl::Hours(24 * 365);
  std::string line;
  Encoder().AppendLine(record, line);
  HashChain(std::string(kHashHexBytes, 'a')).Seal(line, 0);  // of a segment that is gone
  fs_.SetContent("d/audit-bootbbbbbbbb-1.jsonl", line + "\n");
  ASSERT_EQ(Segments().back().boot, "bootbbbbbbbb");
  Open();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(RecordsOf(kPath).at(0).seq, 3u) << "as number 1 it would be taken for a copy of the closed segment";
}

TEST_F(AuditFileTest, NeverBeginsASegmentWithTheFirstNumberOfAnother) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  audit_.reset();
  fs_.SetContent("d/audit-bootaaaaaaaa-1.jsonl", fs_.Content("d/audit-bootaaaaaaaa-1.jsonl") + "damaged\n");
  Open();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(RecordsOf(kPath).at(0).seq, 2u);
}

TEST_F(AuditFileTest, ADamagedLastLineEndsItsSegmentAndIsALoss) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  std::string content = fs_.Content(kPath);
  content[content.size() - 100] = '\0';
  fs_.SetContent(kPath, content);
  Open();
  EXPECT_EQ(audit_->next_seq(), 3u);
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(fs_.Content("d/audit-bootaaaaaaaa-1.jsonl"), content) << "evidence is kept";
  ASSERT_EQ(RecordsOf(kPath).size(), 2u);
  EXPECT_EQ(RecordsOf(kPath)[0].stage, flow::kStageDamaged);
}

TEST_F(AuditFileTest, AFileWithADamagedFirstLineIsPutAside) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  audit_.reset();
  std::string content = fs_.Content(kPath);
  content[50] = '\0';
  fs_.SetContent(kPath, content);
  Open();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(fs_.Content("d/audit.jsonl.damaged"), content);
  EXPECT_EQ(RecordsOf(kPath).at(0).seq, 4u) << "its numbers are not given out again";
  EXPECT_EQ(RecordsOf(kPath).at(0).stage, flow::kStageDamaged);
}

TEST_F(AuditFileTest, AFileWhoseFirstLineIsTooLongIsPutAside) {
  fs_.SetContent(kPath, "{\"identity\":\"" + std::string(kMaxLineBytes, 'x') + "\n");
  Open();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_TRUE(fs_.Exists("d/audit.jsonl.damaged"));
  EXPECT_EQ(Segments().size(), 1u) << "a reader would not find what is written";
  ASSERT_EQ(Losses().size(), 1u);
  EXPECT_EQ(Losses()[0].stage, flow::kStageDamaged);
}

TEST_F(AuditFileTest, ALastLineThatIsTooLongEndsItsSegmentAndIsALoss) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  fs_.SetContent(kPath, fs_.Content(kPath) + std::string(kMaxLineBytes + 1, 'x') + "\n");
  Restart();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_TRUE(fs_.Exists("d/audit-bootaaaaaaaa-1.jsonl"));
  ASSERT_EQ(RecordsOf(kPath).size(), 2u);
  EXPECT_EQ(RecordsOf(kPath)[0].stage, flow::kStageDamaged);
}

TEST_F(AuditFileTest, SyncsWithinItsInterval) {
  Open();
  const int before = fs_.syncs;
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_EQ(fs_.syncs, before) << "written less than a second ago";
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_EQ(fs_.syncs, before + 1);
  clock_.Advance(absl::Seconds(10));
  ASSERT_TRUE(audit_->Tick().ok());
  EXPECT_EQ(fs_.syncs, before + 1) << "nothing new";
}

TEST_F(AuditFileTest, SyncsEachBatch) {
  options_.sync = SyncPolicy::kBatch;
  Open();
  const int appends = fs_.appends, syncs = fs_.syncs;
  ASSERT_TRUE(Write(5).ok());
  EXPECT_EQ(fs_.appends, appends + 1);
  EXPECT_EQ(fs_.syncs, syncs + 1);
}

TEST_F(AuditFileTest, SyncsEachRecord) {
  options_.sync = SyncPolicy::kAlways;
  Open();
  const int appends = fs_.appends, syncs = fs_.syncs;
  ASSERT_TRUE(Write(5).ok());
  EXPECT_EQ(fs_.appends, appends + 5);
  EXPECT_EQ(fs_.syncs, syncs + 5);
  ExpectVerified();
}

TEST_F(AuditFileTest, CloseWritesAndSyncsWhatIsLeft) {
  Open();
  Add(2);
  const int syncs = fs_.syncs;
  ASSERT_TRUE(audit_->Close().ok());
  EXPECT_EQ(Records().size(), 2u);
  EXPECT_EQ(fs_.syncs, syncs + 1);
}

TEST(ReadBootId, IsTwelveHexDigitsAndTheSameEachTime) {
  const std::string id = ReadBootId().value();
  EXPECT_EQ(id.size(), 12u);
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(ReadBootId().value(), id);
}

}  // namespace
}  // namespace lattice::audit
