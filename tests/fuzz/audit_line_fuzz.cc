// The audit file's lines: any text is refused with a reason or is a record that is written
// and read back as itself; and any file's bytes are cut into the lines they have.
//
// In the file, byte 1 and the byte after it stand for a run of letters: a line that is too
// long would be too long an input.
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "tests/testing/fake_file_system.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/lines.h"

namespace {

using lattice::audit::DecodedLine;
using lattice::audit::DecodeLine;
using lattice::audit::kMaxLineBytes;
using lattice::audit::LineScanner;
using lattice::testing::FakeFileSystem;

constexpr char kRun = 1;
constexpr size_t kRunBytes = 700;  // 255 of them are over two limits of a line
constexpr int kMostRuns = 3;

void CheckDecoded(absl::string_view text) {
  const auto first = DecodeLine(text);
  if (!first.ok()) {
    CHECK(absl::IsInvalidArgument(first.status())) << first.status();
    CHECK(!first.status().message().empty());
    return;
  }
  lattice::audit::Encoder encoder;
  std::string line;
  encoder.AppendLine(first->record, line);
  lattice::audit::HashChain chain;
  chain.Seal(line, 0);
  const auto second = DecodeLine(line);
  CHECK(second.ok()) << second.status() << "\n" << line;
  CHECK(second->record == first->record) << line;
  CHECK_EQ(second->h, chain.head());
  CHECK_EQ(lattice::audit::SeqOfLine(line), first->record.seq) << line;
  std::string message;
  encoder.AppendMessage(first->record, message);
  CHECK(nlohmann::json::accept(message)) << message;
}

void CheckSealed(absl::string_view text) {
  std::string object;
  absl::string_view h;
  if (!lattice::audit::SplitSealed(text, &object, &h)) return;
  CHECK(lattice::audit::IsHashHex(h));
  CHECK_EQ(object.back(), '}');
  object.pop_back();
  CHECK_EQ(absl::StrCat(object, ",\"h\":\"", h, "\"}"), text);
}

std::string Expand(absl::string_view text) {
  std::string out;
  int runs = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != kRun || i + 1 == text.size() || ++runs > kMostRuns) {
      out += text[i];
    } else {
      out.append(kRunBytes * static_cast<unsigned char>(text[++i]), 'x');
    }
  }
  return out;
}

// What the scanner must find: the lines of at most kMaxLineBytes, and how many others.
struct Lines {
  std::vector<std::string> lines;
  uint64_t skipped = 0;
  size_t end = 0;  // after the last whole line
};

Lines Cut(const std::string& content) {
  Lines cut;
  for (size_t end; (end = content.find('\n', cut.end)) != std::string::npos; cut.end = end + 1) {
    if (end - cut.end > kMaxLineBytes) {
      ++cut.skipped;
    } else {
      cut.lines.push_back(content.substr(cut.end, end - cut.end));
    }
  }
  return cut;
}

void CheckScanner(const std::string& content, size_t first_part) {
  FakeFileSystem fs;
  fs.SetContent("f", content.substr(0, first_part));
  const auto file = fs.OpenRead("f").value();
  LineScanner scanner(*file, 0);
  std::vector<std::string> lines;
  while (const auto line = scanner.Next().value()) lines.emplace_back(*line);
  fs.SetContent("f", content);  // the writer went on
  while (const auto line = scanner.Next().value()) lines.emplace_back(*line);
  const Lines want = Cut(content);
  CHECK(lines == want.lines);
  CHECK_EQ(scanner.skipped(), want.skipped);
  CHECK_EQ(scanner.offset(), static_cast<int64_t>(want.end));
}

void CheckEnds(const std::string& content) {
  FakeFileSystem fs;
  fs.SetContent("f", content);
  const auto file = fs.OpenRead("f").value();
  const size_t end = content.find('\n');
  const auto first = lattice::audit::FirstLine(*file).value();
  CHECK_EQ(first.has_value(), end != std::string::npos && end <= kMaxLineBytes);
  if (first.has_value()) CHECK_EQ(*first, content.substr(0, end));

  std::vector<size_t> begins = {0};
  for (size_t i = 0; i < content.size(); ++i) {
    if (content[i] == '\n') begins.push_back(i + 1);
  }
  for (const size_t count : {size_t{1}, size_t{2}, size_t{5}}) {
    const size_t whole = begins.size() - 1;
    CHECK_EQ(lattice::audit::OffsetOfLastLines(*file, count).value(),
             static_cast<int64_t>(begins[whole - std::min(count, whole)]));
  }
  if (const auto last = lattice::audit::LastLine(*file).value()) CHECK_EQ(*last, Cut(content).lines.back());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  CheckDecoded(text);
  CheckSealed(text);
  lattice::audit::SeqOfLine(text);
  // A text without lines has been looked at; files cost more time.
  if (text.find_first_of("\n\x01") == std::string::npos) return 0;
  const std::string content = Expand(text);
  CheckScanner(content, size == 0 ? 0 : content.size() * data[0] / 255);
  CheckEnds(content);
  return 0;
}
