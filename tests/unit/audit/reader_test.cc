#include "userspace/audit/reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/audit/audit_fixture.h"

namespace lattice::audit {
namespace {

class ReaderTest : public AuditFixture {
 protected:
  std::unique_ptr<SegmentReader> NewReader(const std::optional<Cursor>& cursor = std::nullopt) {
    return SegmentReader::Open(fs_, kPath, cursor).value();
  }
  static std::vector<uint64_t> Read(SegmentReader& reader, size_t most = SIZE_MAX) {
    std::vector<uint64_t> seqs;
    while (seqs.size() < most) {
      const std::optional<absl::string_view> line = reader.Next().value();
      if (!line.has_value()) break;
      seqs.push_back(DecodeLine(*line)->record.seq);
    }
    return seqs;
  }
};

using Seqs = std::vector<uint64_t>;

TEST_F(ReaderTest, ReadsWhatIsThereAndThenWhatIsAdded) {
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader), Seqs{}) << "no file yet";
  Open();
  EXPECT_EQ(Read(*reader), Seqs{});
  ASSERT_TRUE(Write(3).ok());
  EXPECT_EQ(Read(*reader), (Seqs{1, 2, 3}));
  EXPECT_EQ(Read(*reader), Seqs{});
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Read(*reader), Seqs{4});
  EXPECT_EQ(reader->cursor().seq, 4u);
  EXPECT_EQ(reader->cursor().offset, static_cast<int64_t>(fs_.Content(kPath).size()));
}

TEST_F(ReaderTest, StopsAtAPartialLineAndGoesOnWhenItIsWhole) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  const std::string content = fs_.Content(kPath);
  fs_.TruncateTo(kPath, content.size() - 20);
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader), Seqs{1});
  fs_.SetContent(kPath, content);
  EXPECT_EQ(Read(*reader), Seqs{2});
}

TEST_F(ReaderTest, GoesOnInTheNextSegments) {
  Open();
  auto reader = NewReader();
  for (uint64_t i = 1; i < 6; ++i) {
    ASSERT_TRUE(Write(1).ok());
    if (i % 2 == 0) {
      EXPECT_EQ(Read(*reader), (Seqs{i - 1, i}));
    }
    ASSERT_TRUE(audit_->Reopen().ok());
  }
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Read(*reader), (Seqs{5, 6}));
}

TEST_F(ReaderTest, ReadsTheRestOfASegmentThatWasClosedBehindIt) {
  Open();
  auto reader = NewReader();
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Read(*reader), Seqs{1});
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_EQ(Read(*reader), (Seqs{2, 3, 4}));
}

TEST_F(ReaderTest, ResumesAfterEveryLineOverSegmentsAndBoots) {
  for (const char* boot : {"bootbbbbbbbb", "bootaaaaaaaa"}) {
    options_.boot = boot;
    Open();
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(Write(2).ok());
      ASSERT_TRUE(audit_->Reopen().ok());
    }
    audit_.reset();
  }
  const Seqs all{1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6};
  for (size_t n = 0; n <= all.size(); ++n) {
    auto first = NewReader();
    ASSERT_EQ(Read(*first, n), Seqs(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n)));
    auto second = NewReader(first->cursor());
    EXPECT_EQ(second->CountRemaining().value(), all.size() - n);
    ASSERT_EQ(Read(*second), Seqs(all.begin() + static_cast<std::ptrdiff_t>(n), all.end())) << n;
  }
}

TEST_F(ReaderTest, ACursorSurvivesTheRenameOfItsSegment) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader, 1), Seqs{1});
  ASSERT_TRUE(fs_.Rename(kPath, "d/audit.jsonl.1").ok());
  ASSERT_TRUE(Write(1).ok());
  auto again = NewReader(reader->cursor());
  EXPECT_EQ(Read(*again), (Seqs{2, 3, 4}));
  EXPECT_EQ(Read(*reader), (Seqs{2, 3, 4}));
}

TEST_F(ReaderTest, GoesOnAfterSegmentsThatWereDeleted) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader, 1), Seqs{1});
  const Cursor cursor = reader->cursor();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(audit_->Reopen().ok());
    ASSERT_TRUE(Write(1).ok());
  }
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-1.jsonl").ok());
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-3.jsonl").ok());
  EXPECT_EQ(Read(*NewReader(cursor)), (Seqs{4, 5}));
  EXPECT_EQ(Read(*reader), (Seqs{2, 4, 5})) << "it has the deleted file open";
}

TEST_F(ReaderTest, AfterCopytruncateReadsTheRestFromTheCopy) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader, 1), Seqs{1});
  const Cursor cursor = reader->cursor();
  ASSERT_TRUE(Write(2).ok());
  fs_.SetContent("d/audit.jsonl.1", fs_.Content(kPath));
  fs_.TruncateTo(kPath, 0);
  ASSERT_TRUE(Write(2).ok());
  const Seqs all{2, 3, 4, 5, 6, 7, 8};  // 8 is the loss record
  EXPECT_EQ(Read(*NewReader(cursor)), all);
  // The open reader has 2 and 3 in its buffer.
  EXPECT_EQ(Read(*reader), all);
}

TEST_F(ReaderTest, NoticesATruncationAlsoWhenTheFileHasGrownAgain) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader), (Seqs{1, 2}));
  fs_.TruncateTo(kPath, 0);
  ASSERT_TRUE(Write(1).ok());
  ASSERT_TRUE(Write(10).ok());
  EXPECT_EQ(Read(*reader).front(), 3u);
}

TEST_F(ReaderTest, SkipsTheHalfLineAtTheEndOfAClosedSegment) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(1).ok());
  const std::string closed = "d/audit-bootaaaaaaaa-1.jsonl";
  fs_.SetContent(closed, fs_.Content(closed) + "{\"identity\":");
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader), (Seqs{1, 2, 3}));
  EXPECT_EQ(reader->skipped(), 1u);
}

TEST_F(ReaderTest, ACursorInsideALineIsNotBelieved) {
  Open();
  ASSERT_TRUE(Write(2).ok());
  Cursor cursor{.boot = options_.boot, .first_seq = 1, .offset = 100, .seq = 1};
  auto reader = NewReader(cursor);
  ASSERT_TRUE(audit_->Reopen().ok());
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Read(*reader), Seqs{3}) << "the next segment is the first place that is sure";
}

TEST_F(ReaderTest, SeekGoesBack) {
  Open();
  ASSERT_TRUE(Write(4).ok());
  auto reader = NewReader();
  EXPECT_EQ(Read(*reader, 2), (Seqs{1, 2}));
  const Cursor cursor = reader->cursor();
  EXPECT_EQ(Read(*reader), (Seqs{3, 4}));
  ASSERT_TRUE(reader->Seek(cursor).ok());
  EXPECT_EQ(Read(*reader), (Seqs{3, 4}));
}

// The writer rotates as fast as it can in one thread; the reader in another must see every number once.
TEST(ReaderUnderLoad, SeesEveryRecordOnceWhileTheWriterRotates) {
  std::mt19937_64 random(testing::TestSeed());
  testing::TempDir dir;
  testing::FakeClock clock;
  AuditFileOptions options{.path = dir.File("audit.jsonl"), .node = "n", .boot = "bootaaaaaaaa"};
  options.rotate_bytes = 30'000;
  options.spool_cap_bytes = 0;
  auto audit = AuditFile::Open(RealFileSystem(), clock, options).value();
  constexpr uint64_t kTotal = 5'000;
  std::thread writer([&] {
    for (uint64_t made = 0; made < kTotal;) {
      for (uint64_t n = std::min(kTotal - made, 1 + random() % 20); n > 0; --n) {
        flow::FlowRecord record = testing::StartRecord(made++);
        audit->Add(record);
      }
      EXPECT_TRUE(audit->Commit().ok());
      if (random() % 20 == 0) {
        EXPECT_TRUE(audit->Reopen().ok());
      }
      if (random() % 50 == 0) {
        EXPECT_TRUE(RealFileSystem().Rename(options.path, options.path + "." + std::to_string(made)).ok());
      }
    }
  });
  auto reader = SegmentReader::Open(RealFileSystem(), options.path, std::nullopt).value();
  uint64_t expected = 1;
  while (expected <= kTotal) {
    const auto line = reader->Next();
    ASSERT_TRUE(line.ok()) << line.status();
    if (!line->has_value()) continue;
    ASSERT_EQ(SeqOfLine(**line), expected++);
  }
  writer.join();
  EXPECT_EQ(reader->Next().value(), std::nullopt);
  EXPECT_EQ(reader->skipped(), 0u);
}

}  // namespace
}  // namespace lattice::audit
