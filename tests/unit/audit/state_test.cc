#include <gtest/gtest.h>

#include "tests/testing/fake_file_system.h"
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

TEST(Cursor, OfOtherFormIsRefusedNamingFileAndKey) {
  testing::FakeFileSystem fs;
  for (const char* text : {"", "x", "[]", "{}", R"({"boot":1,"firstSeq":1,"offset":1,"seq":1})",
                           R"({"boot":"b","firstSeq":1,"offset":-1,"seq":1})",
                           R"({"boot":"b","firstSeq":1,"offset":9223372036854775808,"seq":1})",
                           R"({"boot":"b","firstSeq":1,"offset":1})"}) {
    fs.SetContent("c", text);
    const absl::Status status = LoadCursor(fs, "c").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_EQ(status.message().substr(0, 3), "c: ");
  }
}

TEST(SegmentDigest, ComesBackAsItWasEncoded) {
  const SegmentDigest digest{.name = "audit-b-1.jsonl",
                             .boot = "b",
                             .first_seq = 1,
                             .last_seq = 9,
                             .lines = 9,
                             .bytes = 5'000,
                             .sha256 = "s",
                             .head = "h",
                             .previous = "p",
                             .closed = absl::FromUnixNanos(1'770'000'000'123'456'789)};
  EXPECT_EQ(DecodeDigest(EncodeDigest(digest)).value(), digest);
}

TEST(SegmentDigest, WithoutAKeyIsRefused) {
  for (const char* text : {"", "{}", R"({"name":"x"})"}) EXPECT_FALSE(DecodeDigest(text).ok()) << text;
}

TEST(StateObject, ReplacesBadUtf8InsteadOfThrowing) {
  StateObject object;
  object.texts["name"] = "a\xff";
  EXPECT_EQ(DecodeState(EncodeState(object))->Text("name").value(), "a\xef\xbf\xbd");
}

}  // namespace
}  // namespace lattice::audit
