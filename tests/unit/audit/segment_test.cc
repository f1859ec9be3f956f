#include "userspace/audit/segment.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/encoder.h"

namespace lattice::audit {
namespace {

class SegmentTest : public AuditFixture {
 protected:
  std::vector<std::string> Listed() {
    std::vector<std::string> paths;
    for (const Segment& segment : Segments()) paths.push_back(segment.path);
    return paths;
  }
};

using Paths = std::vector<std::string>;

TEST(SegmentPath, IsBesideTheAuditFile) {
  EXPECT_EQ(SegmentPath("/var/log/audit.jsonl", "b", 7), "/var/log/audit-b-7.jsonl");
  EXPECT_EQ(SegmentPath("audit.jsonl", "b", 7), "audit-b-7.jsonl");
  EXPECT_EQ(SegmentPath("/l/flows.log", "b", 7), "/l/flows.log-b-7.jsonl");
  EXPECT_EQ(FolderOf("/audit.jsonl"), "/");
  EXPECT_EQ(FolderOf("audit.jsonl"), ".");
  EXPECT_EQ(FolderOf("/var/log/audit.jsonl"), "/var/log");
}

TEST_F(SegmentTest, AreOrderedByNumberNotByName) {
  Open();
  for (int i = 0; i < 12; ++i) {
    ASSERT_TRUE(Write(1).ok());
    ASSERT_TRUE(audit_->Reopen().ok());
  }
  const Paths listed = Listed();
  ASSERT_EQ(listed.size(), 12u);
  EXPECT_EQ(listed[1], "d/audit-bootaaaaaaaa-2.jsonl");
  EXPECT_EQ(listed[9], "d/audit-bootaaaaaaaa-10.jsonl");
}

TEST_F(SegmentTest, OfLaterBootsComeLaterAlsoWhereTheClockSteppedBack) {
  for (const char* boot : {"bootcccccccc", "bootaaaaaaaa", "bootbbbbbbbb"}) {
    options_.boot = boot;
    Open();
    flow::FlowRecord record = testing::StartRecord();
    record.ts = clock_.Now();
    audit_->Add(record);
    ASSERT_TRUE(audit_->Commit().ok());
    ASSERT_TRUE(audit_->Reopen().ok());
    audit_.reset();
    clock_.SetWall(clock_.Now() - absl::Hours(24));
  }
  EXPECT_EQ(Listed(),
            (Paths{"d/audit-bootcccccccc-1.jsonl", "d/audit-bootaaaaaaaa-1.jsonl", "d/audit-bootbbbbbbbb-1.jsonl"}));
}

// The first line of each is sealed after the hash that the last line of the other claims.
TEST_F(SegmentTest, OfBootsThatAreForgedToFollowEachOtherAreAllThere) {
  const std::string hashes[] = {std::string(kHashHexBytes, 'a'), std::string(kHashHexBytes, 'b')};
  const char* const boots[] = {"bootaaaaaaaa", "bootbbbbbbbb"};
  for (int i = 0; i < 2; ++i) {
    flow::FlowRecord record = testing::StartRecord();
    record.node = "node-1";
    record.boot = boots[i];
    record.seq = 1;
    std::string first, last;
    Encoder().AppendLine(record, first);
    HashChain(hashes[1 - i]).Seal(first, 0);
    record.seq = 2;
    Encoder().AppendLine(record, last);
    last.insert(last.size() - 1, ",\"h\":\"" + hashes[i] + "\"");
    fs_.SetContent(SegmentPath(kPath, boots[i], 1), first + "\n" + last + "\n");
  }
  EXPECT_EQ(Listed(), (Paths{"d/audit-bootaaaaaaaa-1.jsonl", "d/audit-bootbbbbbbbb-1.jsonl"}));
}

TEST_F(SegmentTest, AreFoundUnderLogrotatesNames) {
  Open();
  for (const char* name : {"d/audit.jsonl.2", "d/audit.jsonl-20260202"}) {
    ASSERT_TRUE(Write(1).ok());
    ASSERT_TRUE(fs_.Rename(kPath, name).ok());
  }
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Listed(), (Paths{"d/audit.jsonl.2", "d/audit.jsonl-20260202", kPath}));
}

TEST_F(SegmentTest, OfAnAuditFileWithALongerNameAreItsOwn) {
  const std::string other = "d/audit-b.jsonl";
  options_.path = other;
  Open();
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(1).ok());
  EXPECT_TRUE(Listed().empty());
  EXPECT_EQ(ListSegments(fs_, other)->size(), 2u);
}

TEST_F(SegmentTest, AreNoOtherFiles) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  for (const char* name : {"d/audit.jsonl.cursor", "d/audit.jsonl.gz", "d/audit.jsonl.tmp.7", "d/audit-x.jsonl",
                           "d/audit-bootaaaaaaaa-9.jsonl", "d/other.jsonl"}) {
    fs_.SetContent(name, "{\"boot\":\"b\"}\n");
  }
  fs_.SetContent("d/other.jsonl", fs_.Content("d/audit-bootaaaaaaaa-1.jsonl"));
  fs_.SetContent("d/audit-bootaaaaaaaa-8.jsonl", fs_.Content("d/audit-bootaaaaaaaa-1.jsonl"));
  EXPECT_EQ(Listed(), Paths{"d/audit-bootaaaaaaaa-1.jsonl"});
}

TEST_F(SegmentTest, OfTwoCopiesTheLongerOneCounts) {
  Open();
  ASSERT_TRUE(Write(1).ok());
  fs_.SetContent("d/audit.jsonl.1", fs_.Content(kPath));
  EXPECT_EQ(Listed(), Paths{kPath});
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Listed(), Paths{kPath});
  fs_.SetContent("d/audit.jsonl.1", fs_.Content(kPath));
  fs_.TruncateTo(kPath, fs_.Content(kPath).size() - 10);
  EXPECT_EQ(Listed(), Paths{"d/audit.jsonl.1"});
}

TEST_F(SegmentTest, WithoutAWholeLineIsNone) {
  fs_.SetContent(kPath, "");
  EXPECT_TRUE(Listed().empty());
  fs_.SetContent(kPath, "{\"identity\":");
  EXPECT_TRUE(Listed().empty());
}

}  // namespace
}  // namespace lattice::audit
