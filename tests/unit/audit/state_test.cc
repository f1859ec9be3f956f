#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "tests/testing/fake_file_system.h"
#include "userspace/audit/checkpoints.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/state_json.h"

namespace lattice::audit {
namespace {

const Cursor kCursor{.boot = "0123456789ab", .first_seq = 3, .offset = 4'711, .seq = 17};

TEST(Cursor, ComesBackAsItWasStored) {
  testing::FakeFileSystem fs;
  ASSERT_TRUE(StoreCursor(fs, CursorPath("a.jsonl"), kCursor).ok());
  EXPECT_EQ(LoadCursor(fs, "a.jsonl.cursor").value(), kCursor);
}

TEST(Cursor, IsNothingWhereThereIsNoFile) {
  testing::FakeFileSystem fs;
  EXPECT_EQ(LoadCursor(fs, "a.jsonl.cursor").value(), std::nullopt);
}

// One change of a file that is good.
struct BadFile {
  const char* name;
  const char* from = "";  // in the good text; empty: all of it
  const char* to = "";
  const char* error;  // part of it
};

std::string Broken(const BadFile& bad, const std::string& good) {
  if (bad.from[0] == '\0') return bad.to;
  EXPECT_TRUE(absl::StrContains(good, bad.from)) << bad.from;
  return absl::StrReplaceAll(good, {{bad.from, bad.to}});
}

const auto kBadFileName = [](const ::testing::TestParamInfo<BadFile>& bad) { return std::string(bad.param.name); };

// Of every such file.
const BadFile kNoObject[] = {
    {.name = "Nothing", .error = "not a JSON object"},
    {.name = "ControlByte", .to = "\x01", .error = "not a JSON object"},
    {.name = "Word", .to = "x", .error = "not a JSON object"},
    {.name = "Array", .to = "[]", .error = "not a JSON object"},
    {.name = "Null", .to = "null", .error = "not a JSON object"},
    {.name = "TwoObjects", .to = "{}{}", .error = "not a JSON object"},
    {.name = "CutShort", .to = "{\"boot\":\"b\"", .error = "not a JSON object"},
    {.name = "BadUtf8", .to = "{\"boot\":\"\xff\"}", .error = "not a JSON object"},
};

class DecodeBadState : public ::testing::TestWithParam<BadFile> {};

TEST_P(DecodeBadState, IsRefused) {
  const std::string text = Broken(GetParam(), "");
  for (const absl::Status& status : {DecodeState(text).status(), DecodeCursor(text).status(),
                                     DecodeDigest(text).status(), DecodeCheckpoint(text).status()}) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), GetParam().error);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, DecodeBadState, ::testing::ValuesIn(kNoObject), kBadFileName);

class DecodeBadCursor : public ::testing::TestWithParam<BadFile> {};

TEST_P(DecodeBadCursor, IsRefusedNamingFileAndKey) {
  testing::FakeFileSystem fs;
  fs.SetContent("c", Broken(GetParam(), EncodeCursor(kCursor)));
  const absl::Status status = LoadCursor(fs, "c").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(), absl::StrCat("c: ", GetParam().error))) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, DecodeBadCursor,
    ::testing::Values(
        BadFile{.name = "NoKeys", .to = "{}", .error = "\"boot\": expected a string"},
        BadFile{.name = "BootAsNumber", .from = "\"0123456789ab\"", .to = "1", .error = "\"boot\": expected a string"},
        BadFile{
            .name = "FirstNumberAsText", .from = ":3,", .to = ":\"3\",", .error = "\"firstSeq\": expected a number"},
        BadFile{.name = "NegativeOffset", .from = ":4711", .to = ":-1", .error = "\"offset\": expected a number"},
        BadFile{
            .name = "OffsetWithFraction", .from = ":4711", .to = ":4711.0", .error = "\"offset\": expected a number"},
        BadFile{.name = "OffsetAboveItsType",
                .from = ":4711",
                .to = ":9223372036854775808",
                .error = "\"offset\": too large"},
        BadFile{.name = "OffsetAboveSixtyFourBits",
                .from = ":4711",
                .to = ":18446744073709551616",
                .error = "\"offset\": expected a number"},
        BadFile{.name = "NumberAsNull", .from = ":17", .to = ":null", .error = "\"seq\": expected a number"},
        BadFile{.name = "NoNumber", .from = ",\"seq\":17", .to = "", .error = "\"seq\": expected a number"}),
    kBadFileName);

Checkpoint GoodCheckpoint() {
  return {.cursor = kCursor,
          .stored = {.stream_created_ns = 1'770'000'000'000'000'001, .sequence = 42, .msg_id = "n/0123456789ab/17"},
          .at = absl::FromUnixNanos(1'770'000'000'123'456'789)};
}

TEST(Checkpoint, ComesBackAsItWasEncodedAndIsACursorToo) {
  EXPECT_EQ(DecodeCheckpoint(EncodeCheckpoint(GoodCheckpoint())).value(), GoodCheckpoint());
  EXPECT_EQ(DecodeCursor(EncodeCheckpoint(GoodCheckpoint())).value(), kCursor);
}

class DecodeBadCheckpoint : public ::testing::TestWithParam<BadFile> {};

TEST_P(DecodeBadCheckpoint, IsRefusedNamingLineAndKey) {
  const std::string good = EncodeCheckpoint(GoodCheckpoint());
  const absl::Status status = Checkpoints::Decode(good + "\n" + Broken(GetParam(), good)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(), absl::StrCat("line 3: ", GetParam().error))) << status;
}

constexpr char kAt[] = "2026-02-02T02:40:00.123456789+00:00";

INSTANTIATE_TEST_SUITE_P(
    Cases, DecodeBadCheckpoint,
    ::testing::Values(
        BadFile{.name = "Word", .to = "x", .error = "not a JSON object"},
        BadFile{.name = "CutShort", .to = "{\"boot\":\"b\"", .error = "not a JSON object"},
        BadFile{.name = "NoKeys", .to = "{}", .error = "\"boot\": expected a string"},
        BadFile{.name = "NoOffset", .from = ",\"offset\":4711", .error = "\"offset\": expected a number"},
        BadFile{.name = "IdAsNumber", .from = "\"n/0123456789ab/17\"", .to = "1", .error = "\"msgId\": expected"},
        BadFile{.name = "NegativeSequence", .from = ":42", .to = ":-42", .error = "\"sequence\": expected a number"},
        BadFile{.name = "SequenceZero", .from = ":42", .to = ":0", .error = "\"sequence\": a stream counts from 1"},
        BadFile{.name = "StreamAsText",
                .from = "1770000000000000001",
                .to = "\"1770000000000000001\"",
                .error = "\"stream\": expected a number"},
        BadFile{.name = "StreamAboveItsType",
                .from = "1770000000000000001",
                .to = "9223372036854775808",
                .error = "\"stream\": too large"},
        BadFile{.name = "AtNoTime", .from = kAt, .to = "yesterday", .error = "\"at\": "},
        BadFile{.name = "AtNever", .from = kAt, .to = "infinite-past", .error = "\"at\": infinite"}),
    kBadFileName);

TEST(Checkpoints, AreOneForEachFiveSecondsOfTenMinutesTheNewestAndOneBefore) {
  Checkpoints checkpoints;
  const absl::Time start = absl::FromUnixSeconds(1'770'000'000);
  for (uint64_t i = 1; i <= 20'000; ++i) {  // ten a second, for more than half an hour
    Checkpoint checkpoint = GoodCheckpoint();
    checkpoint.stored.sequence = i;
    checkpoint.at = start + absl::Milliseconds(100) * static_cast<int64_t>(i);
    checkpoints.Add(checkpoint);
  }
  const std::vector<Checkpoint>& all = checkpoints.all();
  EXPECT_EQ(all.back().stored.sequence, 20'000u);
  EXPECT_LE(all.front().at, all.back().at - Checkpoints::kWindow);
  EXPECT_GT(all[1].at, all.back().at - Checkpoints::kWindow);
  EXPECT_NEAR(static_cast<double>(all.size()), 122, 5);
  for (size_t i = 1; i < all.size(); ++i) EXPECT_LE(all[i].at - all[i - 1].at, absl::Seconds(6));
}

TEST(Checkpoints, StayFewWhateverTheClockDoes) {
  Checkpoints checkpoints;
  for (uint64_t i = 1; i <= 5'000; ++i) {
    Checkpoint checkpoint = GoodCheckpoint();
    checkpoint.stored.sequence = i;
    checkpoint.at -= absl::Seconds(1) * static_cast<int64_t>(i);  // it runs backwards
    checkpoints.Add(checkpoint);
  }
  EXPECT_LE(checkpoints.all().size(), Checkpoints::kMost);
  EXPECT_EQ(checkpoints.all().back().stored.sequence, 5'000u);
  EXPECT_TRUE(Checkpoints::Decode(checkpoints.EncodeOlder()).ok());
}

TEST(Checkpoints, TheNewestComesFromTheCursorsFileAndABrokenFileIsLeftOut) {
  testing::FakeFileSystem fs;
  EXPECT_TRUE(LoadCheckpoints(fs, "a.jsonl").all().empty());
  Checkpoint older = GoodCheckpoint();
  older.stored.sequence = 7;
  older.at -= absl::Minutes(1);
  fs.SetContent("a.jsonl.checkpoints", EncodeCheckpoint(older));
  fs.SetContent("a.jsonl.cursor", EncodeCheckpoint(GoodCheckpoint()));
  EXPECT_EQ(LoadCheckpoints(fs, "a.jsonl").all(), (std::vector<Checkpoint>{older, GoodCheckpoint()}));
  fs.SetContent("a.jsonl.checkpoints", "{");
  EXPECT_EQ(LoadCheckpoints(fs, "a.jsonl").all(), std::vector<Checkpoint>{GoodCheckpoint()});
  fs.SetContent("a.jsonl.cursor", EncodeCursor(kCursor));  // of core NATS
  EXPECT_TRUE(LoadCheckpoints(fs, "a.jsonl").all().empty());
}

SegmentDigest GoodDigest() {
  return {.name = "audit-b-1.jsonl",
          .boot = "b",
          .first_seq = 1,
          .last_seq = 9,
          .lines = 8,
          .bytes = 5'000,
          .sha256 = std::string(64, 'c'),
          .head = std::string(64, 'd'),
          .previous = std::string(64, 'e'),
          .closed = absl::FromUnixNanos(1'770'000'000'123'456'789)};
}

TEST(SegmentDigest, ComesBackAsItWasEncoded) {
  SegmentDigest digest = GoodDigest();
  EXPECT_EQ(DecodeDigest(EncodeDigest(digest)).value(), digest);
  digest.previous = "";
  EXPECT_EQ(DecodeDigest(EncodeDigest(digest)).value(), digest) << "the first of all";
}

class DecodeBadDigest : public ::testing::TestWithParam<BadFile> {};

TEST_P(DecodeBadDigest, IsRefusedNamingItsKey) {
  const absl::Status status = DecodeDigest(Broken(GetParam(), EncodeDigest(GoodDigest()))).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StartsWith(status.message(), GetParam().error)) << status;
}

constexpr char kClosed[] = "2026-02-02T02:40:00.123456789+00:00";

INSTANTIATE_TEST_SUITE_P(
    Cases, DecodeBadDigest,
    ::testing::Values(
        BadFile{.name = "NoKeys", .to = "{}", .error = "\"name\": expected a string"},
        BadFile{
            .name = "NameAsNumber", .from = "\"audit-b-1.jsonl\"", .to = "1", .error = "\"name\": expected a string"},
        BadFile{.name = "BootAsNull", .from = "\"boot\":\"b\"", .to = "\"boot\":null", .error = "\"boot\": expected"},
        BadFile{.name = "HashAsArray",
                .from = "\"sha256\":",
                .to = "\"sha256\":[],\"x\":",
                .error = "\"sha256\": expected"},
        BadFile{.name = "HashTooShort", .from = "ccc", .to = "cc", .error = "\"sha256\": expected 64"},
        BadFile{.name = "HashInUpperCase", .from = "ccc", .to = "CCC", .error = "\"sha256\": expected 64"},
        // The writer's chain goes on from it.
        BadFile{.name = "HeadTooShort", .from = "ddd", .to = "dd", .error = "\"head\": expected 64"},
        BadFile{.name = "HeadEmpty",
                .from = "dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd",
                .error = "\"head\": expected 64"},
        BadFile{.name = "HeadThatIsNoHex", .from = "ddd", .to = "dgd", .error = "\"head\": expected 64"},
        BadFile{.name = "PreviousTooShort", .from = "eee", .to = "ee", .error = "\"previous\": expected 64"},
        BadFile{.name = "FirstNumberAsText",
                .from = "\"firstSeq\":1",
                .to = "\"firstSeq\":\"1\"",
                .error = "\"firstSeq\": expected a number"},
        BadFile{.name = "NegativeLastNumber", .from = ":9", .to = ":-9", .error = "\"lastSeq\": expected a number"},
        BadFile{.name = "LinesWithFraction", .from = ":8", .to = ":8.5", .error = "\"lines\": expected a number"},
        BadFile{.name = "BytesAboveItsType",
                .from = ":5000",
                .to = ":9223372036854775808",
                .error = "\"bytes\": too large"},
        BadFile{.name = "NoBytes", .from = "\"bytes\":5000,", .to = "", .error = "\"bytes\": expected a number"},
        BadFile{.name = "ClosedAsNumber",
                .from = "\"2026-02-02T02:40:00.123456789+00:00\"",
                .to = "1770000000",
                .error = "\"closed\": expected a string"},
        BadFile{.name = "ClosedAtNoTime", .from = kClosed, .to = "yesterday", .error = "\"closed\": "},
        BadFile{.name = "ClosedOnFebruary30", .from = "02-02T", .to = "02-30T", .error = "\"closed\": "},
        BadFile{.name = "ClosedWithoutZone", .from = "+00:00", .to = "", .error = "\"closed\": "},
        BadFile{.name = "ClosedNever", .from = kClosed, .to = "infinite-future", .error = "\"closed\": "}),
    kBadFileName);

TEST(StateObject, ReplacesBadUtf8InsteadOfThrowing) {
  StateObject object;
  object.texts["name"] = "a\xff";
  EXPECT_EQ(DecodeState(EncodeState(object))->Text("name").value(), "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace lattice::audit
