#include "userspace/audit/retention.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/cursor.h"

namespace lattice::audit {
namespace {

// Two boots of three segments with two records each; the live file has the last two.
class RetentionTest : public AuditFixture {
 protected:
  void SetUp() override {
    options_.spool_cap_bytes = 0;
    for (const char* boot : {"bootaaaaaaaa", "bootbbbbbbbb"}) {
      options_.boot = boot;
      Open();
      for (int i = 0; i < 3; ++i) {
        ASSERT_TRUE(audit_->Reopen().ok());
        ASSERT_TRUE(Write(2).ok());
      }
      audit_.reset();
    }
  }
  void SetCursor(const char* boot, uint64_t first_seq, uint64_t seq) {
    ASSERT_TRUE(
        StoreCursor(fs_, CursorPath(kPath), {.boot = boot, .first_seq = first_seq, .offset = 1, .seq = seq}).ok());
  }
  std::vector<DeletedSegment> Prune(bool publishing) {
    std::vector<DeletedSegment> deleted;
    EXPECT_TRUE(PruneSegments(fs_, kPath, 1, publishing, &deleted).ok());
    return deleted;
  }
};

TEST_F(RetentionTest, NothingGoesBelowTheCap) {
  std::vector<DeletedSegment> deleted;
  ASSERT_TRUE(PruneSegments(fs_, kPath, 1 << 20, true, &deleted).ok());
  EXPECT_TRUE(deleted.empty());
}

TEST_F(RetentionTest, OnlyAsManyGoAsTheCapAsksOldestFirst) {
  int64_t total = 0;
  for (const Segment& segment : Segments()) total += segment.info.size;
  std::vector<DeletedSegment> deleted;
  ASSERT_TRUE(PruneSegments(fs_, kPath, total - 1, false, &deleted).ok());
  ASSERT_EQ(deleted.size(), 1u);
  EXPECT_EQ(deleted[0].path, "d/audit-bootaaaaaaaa-1.jsonl");
  EXPECT_FALSE(fs_.Exists("d/audit-bootaaaaaaaa-1.digest"));
}

TEST_F(RetentionTest, TheLiveFileStays) {
  EXPECT_EQ(Prune(false).size(), 5u);
  EXPECT_EQ(RecordsOf(kPath).size(), 2u);
  EXPECT_EQ(fs_.Paths(), std::vector<std::string>{kPath});
}

TEST_F(RetentionTest, WithoutPublishingNothingIsLost) {
  for (const DeletedSegment& segment : Prune(false)) EXPECT_EQ(segment.lost, 0u);
}

TEST_F(RetentionTest, WithoutACursorEverythingIsLost) {
  for (const DeletedSegment& segment : Prune(true)) EXPECT_EQ(segment.lost, 2u) << segment.path;
}

TEST_F(RetentionTest, WhatIsAfterTheCursorIsLost) {
  SetCursor("bootaaaaaaaa", 3, 3);
  const std::vector<DeletedSegment> deleted = Prune(true);
  ASSERT_EQ(deleted.size(), 5u);
  EXPECT_EQ(deleted[0].lost, 0u);
  EXPECT_EQ(deleted[1].lost, 1u);
  EXPECT_EQ(deleted[1].lost_first_seq, 4u);
  EXPECT_EQ(deleted[1].lost_last_seq, 4u);
  EXPECT_EQ(deleted[2].lost, 2u);
  EXPECT_EQ(deleted[3].boot, "bootbbbbbbbb");
  EXPECT_EQ(deleted[3].lost, 2u);
}

TEST_F(RetentionTest, BootsBeforeTheCursorsArePublished) {
  SetCursor("bootbbbbbbbb", 1, 2);
  const std::vector<DeletedSegment> deleted = Prune(true);
  EXPECT_EQ(deleted[2].lost, 0u);
  EXPECT_EQ(deleted[3].lost, 0u);
  EXPECT_EQ(deleted[4].lost, 2u);
}

}  // namespace
}  // namespace lattice::audit
