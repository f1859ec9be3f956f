#include "userspace/audit/lines.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "tests/testing/fake_file_system.h"
#include "tests/testing/seed.h"

namespace lattice::audit {
namespace {

class LinesTest : public ::testing::Test {
 protected:
  File& Open(const std::string& content) {
    fs_.SetContent("f", content);
    file_ = fs_.OpenRead("f").value();
    return *file_;
  }
  static std::vector<std::string> All(LineScanner& scanner) {
    std::vector<std::string> lines;
    while (auto line = scanner.Next().value()) lines.emplace_back(*line);
    return lines;
  }
  testing::FakeFileSystem fs_;
  std::unique_ptr<File> file_;
};

using Lines = std::vector<std::string>;

TEST_F(LinesTest, ReturnsWholeLinesAndTheOffsetAfterThem) {
  LineScanner scanner(Open("one\n\nthree\nfo"), 0);
  EXPECT_EQ(All(scanner), (Lines{"one", "", "three"}));
  EXPECT_EQ(scanner.offset(), 11);
}

TEST_F(LinesTest, ReturnsALineWhenItBecomesWhole) {
  LineScanner scanner(Open("one\ntw"), 0);
  EXPECT_EQ(All(scanner), Lines{"one"});
  fs_.SetContent("f", "one\ntwo\nthree");
  EXPECT_EQ(All(scanner), Lines{"two"});
  EXPECT_EQ(scanner.offset(), 8);
}

TEST_F(LinesTest, StartsWhereItIsTold) {
  LineScanner scanner(Open("one\ntwo\n"), 4);
  EXPECT_EQ(All(scanner), Lines{"two"});
}

TEST_F(LinesTest, SkipsALineThatIsTooLongHoweverLongItIs) {
  for (const size_t size : {kMaxLineBytes + 1, size_t{300'000}, size_t{1'000'000}}) {
    LineScanner scanner(Open("one\n" + std::string(size, 'x') + "\nthree\n"), 0);
    EXPECT_EQ(All(scanner), (Lines{"one", "three"})) << size;
    EXPECT_EQ(scanner.skipped(), 1u);
    EXPECT_EQ(scanner.offset(), static_cast<int64_t>(size) + 11);
  }
  LineScanner scanner(Open(std::string(kMaxLineBytes, 'x') + "\n"), 0);
  EXPECT_EQ(All(scanner).size(), 1u);
}

TEST_F(LinesTest, ReadsRandomContentAsSplittingItWould) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 50; ++round) {
    std::string content;
    for (uint64_t n = random() % 2'000; n > 0; --n) content += std::string(random() % 900, 'x') + "\n";
    Lines want = absl::StrSplit(content, '\n');
    want.pop_back();
    LineScanner scanner(Open(content), 0);
    ASSERT_EQ(All(scanner), want);
    const size_t last = random() % 50;
    const int64_t offset = OffsetOfLastLines(*file_, last).value();
    LineScanner tail(*file_, offset);
    const size_t expected = std::min(last, want.size());
    ASSERT_EQ(All(tail), Lines(want.end() - static_cast<std::ptrdiff_t>(expected), want.end()));
  }
}

TEST_F(LinesTest, FindsFirstAndLastWholeLine) {
  Open("first\nsecond\nlast\npart");
  EXPECT_EQ(FirstLine(*file_).value(), "first");
  EXPECT_EQ(LastLine(*file_).value(), "last");
  Open("only part");
  EXPECT_EQ(FirstLine(*file_).value(), std::nullopt);
  EXPECT_EQ(LastLine(*file_).value(), std::nullopt);
  Open("");
  EXPECT_EQ(FirstLine(*file_).value(), std::nullopt);
  EXPECT_EQ(LastLine(*file_).value(), std::nullopt);
  Open(std::string(10'000, 'x') + "\n");
  EXPECT_EQ(FirstLine(*file_).value()->size(), 10'000u);
  EXPECT_EQ(LastLine(*file_).value()->size(), 10'000u);
}

TEST(SeqOfLine, IsNotFooledByStrings) {
  EXPECT_EQ(SeqOfLine(R"({"identity":",\"seq\":7","v":1,"seq":42,"node":""})"), 42u);
  EXPECT_EQ(SeqOfLine(R"({"identity":""})"), 0u);
  EXPECT_EQ(SeqOfLine(R"({"a":1,"seq":)"), 0u);
}

}  // namespace
}  // namespace lattice::audit
