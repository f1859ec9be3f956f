#include "userspace/audit/recovery.h"

#include <algorithm>
#include <vector>

#include "absl/strings/match.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/lines.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

constexpr absl::string_view kLineStart = "{\"identity\":\"";

// Whether a file that begins with `text` was begun by an AuditFile: with a line of it, a part
// of one, or the zeros that a file system leaves after a power cut.
bool IsOurs(absl::string_view text) {
  const absl::string_view start = text.substr(0, kLineStart.size());
  const bool zeros = std::all_of(start.begin(), start.end(), [](char c) { return c == '\0'; });
  return zeros || absl::StartsWith(kLineStart, start);
}

void TakeFirst(absl::string_view line, Recovered& recovered) {
  absl::StatusOr<DecodedLine> first = DecodeLine(line);
  recovered.first_readable = first.ok();
  if (!first.ok()) return;
  recovered.boot = first->record.boot;
  recovered.segment.first_seq = first->record.seq;
  recovered.first_ts = first->record.ts;
}

bool TakeEnd(absl::string_view line, Recovered& recovered) {
  absl::StatusOr<DecodedLine> last = DecodeLine(line);
  if (!last.ok() || last->h.empty()) return false;
  recovered.boot = last->record.boot;
  recovered.segment.last_seq = last->record.seq;
  recovered.head = last->h;
  return true;
}

// The last line is damaged: the newest number and hash come from the last one that is not.
absl::Status TakeLastReadable(File& file, Recovered& recovered) {
  LineScanner scanner(file, 0);
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
    if (!line.has_value()) return absl::OkStatus();
    TakeEnd(*line, recovered);
  }
}

}  // namespace

absl::StatusOr<Recovered> ScanSegment(File& file, Sha256* sha) {
  Recovered recovered;
  LATTICE_ASSIGN_OR_RETURN(const FileInfo info, file.Stat());
  recovered.size = info.size;
  char start[kLineStart.size()];
  LATTICE_ASSIGN_OR_RETURN(const size_t start_size, file.ReadAt(0, start, sizeof(start)));
  recovered.ours = IsOurs(absl::string_view(start, start_size));
  if (!recovered.ours) return recovered;

  LineScanner scanner(file, 0);
  std::string last;
  while (true) {
    const uint64_t skipped = scanner.skipped();
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
    if (scanner.skipped() > skipped) {  // lines too, and unreadable ones
      recovered.segment.lines += scanner.skipped() - skipped;
      last.clear();
    }
    if (!line.has_value()) break;
    if (++recovered.segment.lines == 1) TakeFirst(*line, recovered);
    if (sha != nullptr) {
      sha->Update(*line);
      sha->Update("\n");
    }
    last.assign(line->data(), line->size());
  }
  recovered.whole_size = scanner.offset();
  if (recovered.segment.lines > 0) recovered.last_readable = TakeEnd(last, recovered);
  if (recovered.segment.lines > 0 && !recovered.last_readable) {
    LATTICE_RETURN_IF_ERROR(TakeLastReadable(file, recovered));
  }
  return recovered;
}

absl::StatusOr<absl::flat_hash_set<flow::RecordIdentity>> RecentRecords(FileSystem& fs, const std::string& audit_path,
                                                                        absl::string_view boot, size_t count) {
  absl::flat_hash_set<flow::RecordIdentity> identities;
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs, audit_path));
  size_t left = count;
  for (auto segment = segments.rbegin(); segment != segments.rend() && left > 0; ++segment) {
    if (segment->boot != boot) continue;
    LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.OpenRead(segment->path));
    LATTICE_ASSIGN_OR_RETURN(const int64_t offset, OffsetOfLastLines(*file, left));
    LineScanner scanner(*file, offset);
    while (left > 0) {
      LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
      if (!line.has_value()) break;
      --left;
      absl::StatusOr<DecodedLine> decoded = DecodeLine(*line);
      // A line that can't be read names no record to compare with; the writer reports it.
      if (!decoded.ok() || !decoded->record.is_flow() || decoded->record.boot != boot) continue;
      identities.insert(flow::RecordIdentity::Of(decoded->record));
    }
  }
  return identities;
}

}  // namespace lattice::audit
