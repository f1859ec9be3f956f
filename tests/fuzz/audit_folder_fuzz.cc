// A folder that a writer finds at its start: whatever bytes the live file, segments, cursor
// and digests hold, opening, listing, reading and verifying end without harm, and what is
// written then is read again, also after another start.
//
// Theory of operation. The input is a list of files: byte 0xff and a number begin one
// (kNames), the bytes after it are its content. Random bytes are hardly ever a sealed line,
// so some bytes stand for more, with the bytes after them as arguments:
//   0xfe boot seq form   a line of that boot and number, sealed by `form` (AppendRecord)
//   0xfd n               n * 700 letters: lines that are too long
//   0xfc n               n zeros: what a power cut leaves
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/fake_file_system.h"
#include "tests/testing/flow_records.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/reader.h"
#include "userspace/audit/recovery.h"
#include "userspace/audit/retention.h"
#include "userspace/audit/segment.h"
#include "userspace/audit/verify.h"

namespace lattice::audit {
namespace {

using testing::FakeClock;
using testing::FakeFileSystem;

constexpr char kPath[] = "d/audit.jsonl";
constexpr char kNode[] = "node-1";
constexpr char kTrace[] = "appended-";  // with a number: by this a record that was written is found
constexpr const char* kBoots[] = {"bootaaaaaaaa", "bootbbbbbbbb", "bootcccccccc"};
constexpr uint64_t kSeqs[] = {0, 1, 2, 3, 4, 5, 100, 101, UINT64_MAX - 1, UINT64_MAX};
constexpr const char* kNames[] = {
    kPath,
    "d/audit-bootaaaaaaaa-1.jsonl",
    "d/audit-bootaaaaaaaa-3.jsonl",
    "d/audit-bootbbbbbbbb-1.jsonl",
    "d/audit-bootcccccccc-1.jsonl",
    "d/audit-bootaaaaaaaa-1.digest",
    "d/audit-bootbbbbbbbb-1.digest",
    "d/audit.jsonl.cursor",
    "d/audit.jsonl.1",
    "d/audit.jsonl.damaged",
    "d/audit-other.jsonl",
};
constexpr unsigned char kBeginFile = 0xff, kRecord = 0xfe, kLetters = 0xfd, kZeros = 0xfc;
constexpr size_t kLettersBytes = 700;
constexpr int kMostMacros = 24;

template <typename T, size_t n>
const T& Pick(const T (&pool)[n], unsigned char number) {
  return pool[number % n];
}

class Builder {
 public:
  explicit Builder(FakeFileSystem& fs) : fs_(fs) {}

  void Build(absl::string_view input) {
    input_ = input;
    while (!input_.empty()) {
      const unsigned char c = Take();
      if (c < kZeros || (c != kBeginFile && ++macros_ > kMostMacros)) {
        content_ += static_cast<char>(c);
      } else if (c == kZeros) {
        content_.append(Take(), '\0');
      } else if (c == kLetters) {
        content_.append(kLettersBytes * Take(), 'x');
      } else if (c == kRecord) {
        AppendRecord();
      } else {
        Store();
        name_ = Pick(kNames, Take());
      }
    }
    Store();
  }

 private:
  unsigned char Take() {
    if (input_.empty()) return 0;
    const auto c = static_cast<unsigned char>(input_.front());
    input_.remove_prefix(1);
    return c;
  }

  void Store() {
    if (content_.empty()) return;
    fs_.SetContent(name_, std::exchange(content_, ""));
  }

  // `form`, bits 0-1: how the line is sealed; 2: which of two fixed heads; 3: no line end; 4-5: the event.
  void AppendRecord() {
    flow::FlowRecord record;
    const std::string boot = Pick(kBoots, Take());
    const uint64_t seq = Pick(kSeqs, Take());
    const unsigned char form = Take();
    switch (form >> 4 & 3) {
      case 0:
        record = testing::StartRecord(seq);
        break;
      case 1:
        record = testing::EndRecord(seq);
        break;
      default:
        record = testing::StartRecord(seq);
        record = flow::LossRecord(testing::TestContext(), clock_, flow::kStageSeqHole, 1, record.ts, record.ts);
        record.lost_first_seq = record.lost_last_seq = seq - 1;
    }
    record.node = kNode;
    record.boot = boot;
    record.seq = seq;
    const size_t from = content_.size();
    encoder_.AppendLine(record, content_);
    const std::string fixed(kHashHexBytes, form & 4 ? 'a' : 'b');
    if ((form & 3) == 1) chain_.Reset(fixed);  // follows a line that claims this head
    if ((form & 3) < 2) chain_.Seal(content_, from);
    if ((form & 3) == 2) {  // claims it
      content_.pop_back();
      absl::StrAppend(&content_, ",\"h\":\"", fixed, "\"}");
    }
    if ((form & 8) == 0) content_ += '\n';
  }

  FakeFileSystem& fs_;
  FakeClock clock_;
  Encoder encoder_;
  HashChain chain_;
  absl::string_view input_;
  std::string name_ = kPath;
  std::string content_;
  int macros_ = 0;
};

std::optional<flow::FlowRecord> FirstRecord(FakeFileSystem& fs, const std::string& path) {
  if (!fs.Exists(path)) return std::nullopt;
  const auto file = fs.OpenRead(path).value();
  const auto line = FirstLine(*file).value();
  if (!line.has_value()) return std::nullopt;
  auto decoded = DecodeLine(*line);
  return decoded.ok() ? std::optional(decoded->record) : std::nullopt;
}

// Every file that is a segment by its name and first line is in the list, once.
void CheckList(FakeFileSystem& fs) {
  using Key = std::pair<std::string, uint64_t>;
  std::set<Key> listed;
  const std::vector<Segment> segments = ListSegments(fs, kPath).value();
  for (const Segment& segment : segments) {
    CHECK(listed.insert({segment.boot, segment.first_seq}).second) << segment.path;
  }
  for (const std::string& path : fs.Paths()) {
    const auto first = FirstRecord(fs, path);
    if (!first.has_value()) continue;
    const bool named = path == kPath || path == SegmentPath(kPath, first->boot, first->seq);
    if (named) CHECK(listed.count({first->boot, first->seq}) == 1) << path << " is not listed";
  }
}

// Whether a longer file has the live one's first record: it is taken for a copy that holds all of it (logrotate's
// copytruncate), and what is only in the live file is not read. Only a forger can make it another file.
bool LiveIsShadowed(FakeFileSystem& fs) {
  const auto live = FirstRecord(fs, kPath);
  if (!live.has_value()) return false;
  const std::vector<Segment> segments = ListSegments(fs, kPath).value();
  for (const Segment& segment : segments) {
    if (segment.boot == live->boot && segment.first_seq == live->seq) return !segment.live;
  }
  return false;
}

uint64_t CountLines(FakeFileSystem& fs) {
  uint64_t lines = 0;
  for (const std::string& path : fs.Paths()) {
    for (const char c : fs.Content(path)) lines += c == '\n';
  }
  return lines;
}

// Reads to the end, each line at most once; how often one of `appended` came.
std::map<std::string, int> ReadAll(FakeFileSystem& fs, const std::optional<Cursor>& cursor,
                                   const std::vector<std::string>& appended) {
  const auto reader = SegmentReader::Open(fs, kPath, cursor).value();
  const uint64_t most = CountLines(fs);
  std::map<std::string, int> found;
  uint64_t lines = 0;
  while (const auto line = reader->Next().value()) {
    CHECK_LE(++lines, most) << "reads lines again";
    for (const std::string& trace : appended) {
      if (absl::StrContains(*line, trace)) ++found[trace];
    }
  }
  if (cursor.has_value()) CHECK_EQ(reader->CountRemaining().value(), 0u);
  return found;
}

// The publisher's state, if it has any that can be read.
std::optional<Cursor> StoredCursor(FakeFileSystem& fs) {
  const auto cursor = LoadCursor(fs, CursorPath(kPath));
  CHECK(cursor.ok() || absl::IsInvalidArgument(cursor.status())) << cursor.status();
  return cursor.ok() ? *cursor : std::nullopt;
}

void CheckLooks(FakeFileSystem& fs) {
  CheckList(fs);
  for (const std::string& path : fs.Paths()) {
    Sha256 sha;
    const auto file = fs.OpenRead(path).value();
    const Recovered found = ScanSegment(*file, &sha).value();
    CHECK(found.whole_size >= 0 && found.whole_size <= found.size) << path;
  }
  const VerifyReport report = VerifyChain(fs, kPath, {}).value();
  CHECK_EQ(report.segments, ListSegments(fs, kPath).value().size());
  if (const auto cursor = StoredCursor(fs); cursor.has_value()) ReadAll(fs, cursor, {});
  CHECK(RecentRecords(fs, kPath, kBoots[0], 3).ok());
}

// A start of the writer, one record more, and its end. False: the live file is not ours.
bool StartAndWrite(FakeFileSystem& fs, bool adopted, std::vector<std::string>* appended) {
  static FakeClock& clock = *new FakeClock;
  const std::string before = fs.Content(kPath);
  auto audit = AuditFile::Open(
      fs, clock, {.path = kPath, .node = kNode, .boot = kBoots[0], .rings_adopted = adopted, .publishing = true});
  if (!audit.ok()) {
    CHECK(absl::IsFailedPrecondition(audit.status())) << audit.status();
    CHECK_EQ(fs.Content(kPath), before) << "is not ours and was changed";
    return false;
  }
  flow::FlowRecord record = testing::StartRecord(1000 + appended->size());
  record.trace_id = absl::StrCat(kTrace, appended->size());
  (*audit)->AlreadyWritten(testing::KernelStart(1));
  (*audit)->Add(record);
  appended->push_back(record.trace_id);
  CHECK((*audit)->Commit().ok());
  CHECK((*audit)->Tick().ok());
  CHECK_EQ((*audit)->next_seq(), record.seq + 1);
  CHECK((*audit)->Close().ok());
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  FLAGS_minloglevel = google::GLOG_FATAL;  // what it finds is told at each input
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view input(reinterpret_cast<const char*>(data), size);
  if (absl::StrContains(input, kTrace)) return 0;  // would be counted
  FakeFileSystem fs;
  Builder(fs).Build(input);
  CheckLooks(fs);
  std::vector<std::string> appended;
  for (const bool adopted : {true, false}) {
    if (!StartAndWrite(fs, adopted, &appended)) return 0;
    if (LiveIsShadowed(fs)) return 0;
    const auto found = ReadAll(fs, std::nullopt, appended);
    for (const std::string& trace : appended) CHECK_EQ(found.count(trace) ? found.at(trace) : 0, 1) << trace;
  }
  CheckLooks(fs);
  std::vector<DeletedSegment> deleted;
  const absl::Status pruned = PruneSegments(fs, kPath, 1, /*publishing=*/true, &deleted);
  CHECK(pruned.ok() || absl::IsInvalidArgument(pruned)) << pruned;
  CheckList(fs);
  return 0;
}

}  // namespace lattice::audit
