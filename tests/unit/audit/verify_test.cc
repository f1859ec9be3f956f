// An attacker with write access to the files, one attack a test.
#include "userspace/audit/verify.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "tests/testing/seed.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/retention.h"
#include "userspace/audit/signing.h"

namespace lattice::audit {
namespace {

// Three closed segments (records 1-4, 5-8, 9-12) and a live one (13-16).
class VerifyTest : public AuditFixture {
 protected:
  static constexpr char kFirst[] = "d/audit-bootaaaaaaaa-1.jsonl";
  static constexpr char kSecond[] = "d/audit-bootaaaaaaaa-5.jsonl";
  static constexpr char kSecondDigest[] = "d/audit-bootaaaaaaaa-5.digest";

  void SetUp() override {
    Open();
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(audit_->Reopen().ok());
      ASSERT_TRUE(Write(4).ok());
    }
    head_ = std::string(audit_->head());
    audit_.reset();
    ASSERT_TRUE(Kinds().empty());
  }
  VerifyReport Verify(const VerifyOptions& options = {}) { return VerifyChain(fs_, kPath, options).value(); }
  std::set<ProblemKind> Kinds(const VerifyOptions& options = {}) {
    std::set<ProblemKind> kinds;
    for (const Problem& problem : Verify(options).problems) kinds.insert(problem.kind);
    return kinds;
  }
  std::vector<std::string> Lines(const std::string& path) {
    return absl::StrSplit(fs_.Content(path), '\n', absl::SkipEmpty());
  }
  void SetLines(const std::string& path, const std::vector<std::string>& lines) {
    fs_.SetContent(path, absl::StrJoin(lines, "\n") + "\n");
  }
  // The lines again with hashes that fit: an attacker who knows the algorithm.
  std::vector<std::string> Reseal(std::vector<std::string> lines, absl::string_view head) {
    HashChain chain(head);
    for (std::string& line : lines) {
      std::string object;
      absl::string_view h;
      EXPECT_TRUE(SplitSealed(line, &object, &h));
      chain.Seal(object, 0);
      line = object;
    }
    return lines;
  }
  std::string HashOfLine(const std::string& line) { return DecodeLine(line)->h; }

  std::string head_;
};

using Kind = ProblemKind;
using Kinds_ = std::set<ProblemKind>;

TEST_F(VerifyTest, UntouchedFilesAreOkFromTheBeginning) {
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.segments, 4u);
  EXPECT_EQ(report.lines, 16u);
  EXPECT_EQ(report.head, head_);
  EXPECT_EQ(report.anchor, "");
}

TEST_F(VerifyTest, WithOldSegmentsDeletedTheAnchorIsNamed) {
  ASSERT_TRUE(fs_.Remove(kFirst).ok());
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-1.digest").ok());
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.anchor, "node-1/bootaaaaaaaa/5");
}

TEST_F(VerifyTest, AnyFlippedBitInTheLiveFileShows) {
  std::mt19937_64 random(testing::TestSeed());
  const std::string good = fs_.Content(kPath);
  for (int i = 0; i < 400; ++i) {
    std::string bad = good;
    const size_t at = random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ 1 << random() % 8);
    fs_.SetContent(kPath, bad);
    const bool last_line_end = at == good.size() - 1;  // then it is a partial line: see CutEnd
    EXPECT_EQ(Verify().ok(), last_line_end) << "byte " << at << ": " << good[at] << " is " << bad[at];
  }
}

TEST_F(VerifyTest, AnyFlippedBitInAClosedSegmentShows) {
  std::mt19937_64 random(testing::TestSeed());
  const std::string good = fs_.Content(kSecond);
  for (int i = 0; i < 400; ++i) {
    std::string bad = good;
    const size_t at = random() % bad.size();
    bad[at] = static_cast<char>(bad[at] ^ 1 << random() % 8);
    fs_.SetContent(kSecond, bad);
    EXPECT_FALSE(Verify().ok()) << "byte " << at;
  }
}

TEST_F(VerifyTest, AChangedValueShowsAtItsLine) {
  fs_.SetContent(kPath, absl::StrReplaceAll(fs_.Content(kPath), {{"\"srcPort\":40013", "\"srcPort\":40099"}}));
  const VerifyReport report = Verify();
  ASSERT_EQ(report.problems.size(), 1u);
  EXPECT_EQ(report.problems[0].kind, Kind::kHash);
  EXPECT_EQ(report.problems[0].path, kPath);
  EXPECT_EQ(report.problems[0].line, 2u);
}

TEST_F(VerifyTest, ADeletedLineShows) {
  for (const char* path : {kSecond, kPath}) {
    for (size_t i = 0; i < 4; ++i) {
      const std::vector<std::string> good = Lines(path);
      std::vector<std::string> lines = good;
      lines.erase(lines.begin() + static_cast<std::ptrdiff_t>(i));
      SetLines(path, lines);
      if (path == kPath && i == 3) {
        EXPECT_TRUE(Verify().ok()) << "only who knows the newest record sees this";
        EXPECT_EQ(Kinds({.last_boot = options_.boot, .last_seq = 16}), Kinds_{Kind::kCutEnd});
      } else {
        EXPECT_FALSE(Verify().ok()) << path << " " << i;
      }
      SetLines(path, good);
    }
  }
}

TEST_F(VerifyTest, ADeletedLineShowsAlsoIfAllLaterHashesAreMadeAnew) {
  std::vector<std::string> lines = Lines(kPath);
  const std::string head = HashOfLine(lines[0]);
  std::vector<std::string> rest(lines.begin() + 2, lines.end());
  rest = Reseal(rest, head);
  SetLines(kPath, {lines[0], rest[0], rest[1]});
  EXPECT_EQ(Kinds(), Kinds_{Kind::kSequence});
}

TEST_F(VerifyTest, AChangedValueWithAllLaterHashesMadeAnewShowsByTheHeadKnownElsewhere) {
  std::vector<std::string> lines = Lines(kPath);
  const std::string head = HashOfLine(Lines("d/audit-bootaaaaaaaa-9.jsonl")[3]);
  lines[1] = absl::StrReplaceAll(lines[1], {{"\"verdict\":\"allow\"", "\"verdict\":\"drop\""}});
  SetLines(kPath, Reseal(lines, head));
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Kinds({.last_boot = options_.boot, .last_seq = 16, .head = head_}), Kinds_{Kind::kHash});
}

TEST_F(VerifyTest, SwappedLinesShow) {
  std::vector<std::string> lines = Lines(kPath);
  std::swap(lines[1], lines[2]);
  SetLines(kPath, lines);
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kHash, Kind::kSequence}));
}

TEST_F(VerifyTest, ADuplicatedLineShows) {
  std::vector<std::string> lines = Lines(kPath);
  lines.insert(lines.begin() + 2, lines[1]);
  SetLines(kPath, lines);
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kHash, Kind::kSequence}));
}

TEST_F(VerifyTest, AnAddedLineShows) {
  std::vector<std::string> lines = Lines(kPath);
  lines.insert(lines.begin() + 2, "{\"note\":\"nothing happened here\"}");
  SetLines(kPath, lines);
  EXPECT_EQ(Kinds(), Kinds_{Kind::kUnreadable});
}

TEST_F(VerifyTest, AnAddedLineThatIsTooLongShowsAtItsPlace) {
  for (const char* const path : {kPath, kFirst}) {
    SCOPED_TRACE(path);
    const std::string before = fs_.Content(path);
    std::vector<std::string> lines = Lines(path);
    lines.insert(lines.begin() + 2, std::string(kMaxLineBytes + 1, 'x'));
    SetLines(path, lines);
    const VerifyReport report = Verify();
    ASSERT_FALSE(report.ok());
    EXPECT_EQ(report.problems[0].kind, ProblemKind::kUnreadable);
    EXPECT_EQ(report.problems[0].path, path);
    EXPECT_EQ(report.problems[0].line, 3u);
    fs_.SetContent(path, before);
  }
}

TEST_F(VerifyTest, ALiveFileOfOneLineThatIsTooLongShows) {
  SetLines(kPath, {std::string(kMaxLineBytes + 1, 'x')});
  EXPECT_EQ(Kinds().count(ProblemKind::kUnreadable), 1u);
}

TEST_F(VerifyTest, TheCutEndOfAClosedSegmentShows) {
  std::vector<std::string> lines = Lines(kSecond);
  lines.pop_back();
  SetLines(kSecond, lines);
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kCutEnd, Kind::kHash, Kind::kSequence}));
  fs_.SetContent(kSecond, fs_.Content(kSecond) + "{\"identity\"");
  EXPECT_TRUE(Kinds().count(Kind::kPartialLine));
}

TEST_F(VerifyTest, TheCutEndOfTheLiveFileShowsToWhoKnowsTheNewestRecord) {
  const std::string content = fs_.Content(kPath);
  fs_.TruncateTo(kPath, content.size() - 10);
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Kinds({.last_boot = options_.boot, .last_seq = 16}), Kinds_{Kind::kCutEnd});
  EXPECT_TRUE(Kinds({.last_boot = options_.boot, .last_seq = 15}).empty());
}

TEST_F(VerifyTest, ARemovedSegmentShows) {
  ASSERT_TRUE(fs_.Remove(kSecond).ok());
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kHash, Kind::kSequence, Kind::kDigestChain}));
}

TEST_F(VerifyTest, ARemovedDigestShows) {
  ASSERT_TRUE(fs_.Remove(kSecondDigest).ok());
  EXPECT_TRUE(Kinds().count(Kind::kDigestMissing));
}

TEST_F(VerifyTest, AChangedDigestShows) {
  const std::string good = fs_.Content(kSecondDigest);
  fs_.SetContent(kSecondDigest, absl::StrReplaceAll(good, {{"\"lines\":4", "\"lines\":3"}}));
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kDigest, Kind::kDigestChain}));
  fs_.SetContent(kSecondDigest, "{}");
  EXPECT_TRUE(Kinds().count(Kind::kDigest));
}

TEST_F(VerifyTest, ASegmentMadeAnewShowsByItsDigestAndTheSegmentAfterIt) {
  std::vector<std::string> lines = Lines(kSecond);
  const std::string head = HashOfLine(Lines(kFirst)[3]);
  lines[1] = absl::StrReplaceAll(lines[1], {{"\"verdict\":\"allow\"", "\"verdict\":\"drop\""}});
  SetLines(kSecond, Reseal(lines, head));
  EXPECT_EQ(Kinds(), (Kinds_{Kind::kDigest, Kind::kHash}));
}

TEST_F(VerifyTest, ASegmentOfAnotherBootSplicedInShows) {
  testing::FakeFileSystem other_fs;
  AuditFileOptions other = options_;
  other.boot = "bootzzzzzzzz";
  auto audit = AuditFile::Open(other_fs, clock_, other).value();
  flow::FlowRecord record = testing::StartRecord();
  audit->Add(record);
  ASSERT_TRUE(audit->Commit().ok());
  fs_.SetContent("d/audit-bootzzzzzzzz-1.jsonl", other_fs.Content(kPath));
  EXPECT_TRUE(Kinds().count(Kind::kHash));
  EXPECT_TRUE(Kinds().count(Kind::kDigestMissing));
}

TEST_F(VerifyTest, LinesOfAnotherBootInsideASegmentShow) {
  testing::FakeFileSystem other_fs;
  AuditFileOptions other = options_;
  other.boot = "bootzzzzzzzz";
  auto audit = AuditFile::Open(other_fs, clock_, other).value();
  flow::FlowRecord record = testing::StartRecord();
  audit->Add(record);
  ASSERT_TRUE(audit->Commit().ok());
  fs_.SetContent(kPath, fs_.Content(kPath) + other_fs.Content(kPath));
  EXPECT_TRUE(Kinds().count(Kind::kBoot));
}

TEST_F(VerifyTest, AHoleThatTheWriterToldIsNoProblem) {
  options_.min_next_seq = 21;
  Open();
  ASSERT_TRUE(audit_->Commit().ok());
  EXPECT_TRUE(Verify().ok());
  EXPECT_EQ(Records().back().stage, flow::kStageSeqHole);
}

TEST_F(VerifyTest, ReportsNoMoreProblemsThanItIsAskedFor) {
  for (const char* path : {kFirst, kSecond, kPath}) {
    fs_.SetContent(path, absl::StrReplaceAll(fs_.Content(path), {{"\"wg0\"", "\"wg1\""}}));
  }
  EXPECT_EQ(Verify({.max_problems = 3}).problems.size(), 3u);
}

// The same files, written by a node with a key.
class VerifySignedTest : public VerifyTest {
 protected:
  void SetUp() override {
    key_ = SigningKey::LoadOrCreate(dir_.File("key")).value();
    options_.signing_key = key_;
    VerifyTest::SetUp();
    other_key_ = SigningKey::LoadOrCreate(dir_.File("other")).value();
    ASSERT_TRUE(SignedKinds().empty());
  }
  Kinds_ SignedKinds() { return Kinds({.public_key = key_->public_key()}); }
  // What an attacker without the key can do.
  void SignByAnotherKey(const std::string& digest_path) {
    fs_.SetContent(SignaturePath(digest_path), absl::Base64Escape(other_key_->Sign(fs_.Content(digest_path))));
  }

  testing::TempDir dir_;
  std::shared_ptr<const SigningKey> key_;
  std::unique_ptr<SigningKey> other_key_;
};

TEST_F(VerifySignedTest, EveryClosedSegmentsDigestIsSigned) {
  const VerifyReport report = Verify({.public_key = key_->public_key()});
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.signatures, 3u);
  EXPECT_EQ(report.last_seq, 16u);
  EXPECT_EQ(report.last_boot, options_.boot);
}

TEST_F(VerifySignedTest, TheWrongKeyShows) {
  EXPECT_EQ(Kinds({.public_key = other_key_->public_key()}), Kinds_{Kind::kSignature});
}

TEST_F(VerifySignedTest, AMissingSignatureShows) {
  ASSERT_TRUE(fs_.Remove(SignaturePath(kSecondDigest)).ok());
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignatureMissing});
}

TEST_F(VerifySignedTest, ADroppedDigestShows) {
  ASSERT_TRUE(fs_.Remove(kSecondDigest).ok());
  EXPECT_TRUE(SignedKinds().count(Kind::kDigestMissing));
}

TEST_F(VerifySignedTest, ASignatureThatIsNoneShows) {
  for (const char* const text : {"", "x", "AAAA", "\n"}) {
    fs_.SetContent(SignaturePath(kSecondDigest), text);
    EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignature}) << text;
  }
}

TEST_F(VerifySignedTest, ASignatureOfAnotherDigestShows) {
  fs_.SetContent(SignaturePath(kSecondDigest), fs_.Content(SignaturePath("d/audit-bootaaaaaaaa-1.digest")));
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignature});
}

// The newest closed segment with its digest and all that follows made anew: without a key nothing would show.
TEST_F(VerifySignedTest, AForgedEndShowsByItsSignatureOnly) {
  const std::string path = "d/audit-bootaaaaaaaa-9.jsonl";
  const std::string digest_path = "d/audit-bootaaaaaaaa-9.digest";
  std::vector<std::string> lines = Lines(path);
  lines[1] = absl::StrReplaceAll(lines[1], {{"\"verdict\":\"allow\"", "\"verdict\":\"drop\""}});
  lines = Reseal(lines, HashOfLine(Lines(kSecond)[3]));
  SetLines(path, lines);
  SegmentDigest digest = DecodeDigest(fs_.Content(digest_path)).value();
  digest.head = HashOfLine(lines[3]);
  digest.bytes = static_cast<int64_t>(fs_.Content(path).size());
  Sha256 sha;
  sha.Update(fs_.Content(path));
  const auto hash = sha.FinishHex();
  digest.sha256 = std::string(hash.begin(), hash.end());
  fs_.SetContent(digest_path, EncodeDigest(digest));
  SetLines(kPath, Reseal(Lines(kPath), digest.head));
  EXPECT_TRUE(Kinds().empty());
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignature});
  SignByAnotherKey(digest_path);
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignature});
}

// Else an attacker would leave the signature out and let the daemon sign.
TEST_F(VerifySignedTest, ADigestFoundWithoutASignatureIsNotSignedByTheNextStart) {
  ASSERT_TRUE(fs_.Remove(SignaturePath(kSecondDigest)).ok());
  Open();
  EXPECT_FALSE(fs_.Exists(SignaturePath(kSecondDigest)));
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kSignatureMissing});
}

TEST_F(VerifySignedTest, TheDigestOfASegmentThatACrashLeftWithoutOneIsSigned) {
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-9.digest").ok());
  ASSERT_TRUE(fs_.Remove("d/audit-bootaaaaaaaa-9.digest.sig").ok());
  Open();
  EXPECT_TRUE(SignedKinds().empty());
}

// A daemon that makes a digest anew in the middle changes it (it tells when), so the next one no longer follows.
TEST_F(VerifySignedTest, ADroppedDigestThatTheNextStartMadeAnewStillShows) {
  ASSERT_TRUE(fs_.Remove(kSecondDigest).ok());
  clock_.Advance(absl::Seconds(5));
  Open();
  EXPECT_EQ(SignedKinds(), Kinds_{Kind::kDigestChain});
}

TEST_F(VerifySignedTest, PruningTakesTheSignatureToo) {
  std::vector<DeletedSegment> deleted;
  ASSERT_TRUE(PruneSegments(fs_, kPath, 1, false, &deleted).ok());
  EXPECT_EQ(deleted.size(), 3u);
  for (const std::string& path : fs_.Paths()) EXPECT_FALSE(absl::EndsWith(path, ".sig")) << path;
}

TEST_F(VerifySignedTest, ProgressEndsAtTheBytesOfAllFiles) {
  uint64_t seen = 0;
  VerifyOptions options;
  options.on_progress = [&](uint64_t bytes) {
    EXPECT_GE(bytes, seen);
    seen = bytes;
  };
  Verify(options);
  uint64_t all = 0;
  for (const Segment& segment : Segments()) all += static_cast<uint64_t>(segment.info.size);
  EXPECT_EQ(seen, all);
}

TEST(VerifyEmpty, NoFilesAreNoProblem) {
  testing::FakeFileSystem fs;
  const VerifyReport report = VerifyChain(fs, "d/audit.jsonl", {}).value();
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.lines, 0u);
}

}  // namespace
}  // namespace lattice::audit
