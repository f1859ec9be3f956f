// Reads the audit file's lines in order, across rotation, from a place that can be
// stored and found again.
//
//   LATTICE_ASSIGN_OR_RETURN(auto reader, SegmentReader::Open(fs, path, cursor));
//   while (true) {
//     LATTICE_ASSIGN_OR_RETURN(std::optional<absl::string_view> line, reader->Next());
//     if (!line.has_value()) break;  // all read; more may come
//     …
//   }
//   cursor = reader->cursor();
//
// The promise: every whole line once, in the writer's order, whichever name its file has
// by now; a partial last line is not returned before it is whole. One thread; the writer
// may be another thread or process.
#ifndef USERSPACE_AUDIT_READER_H_
#define USERSPACE_AUDIT_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/segment.h"

namespace lattice::audit {

class SegmentReader {
 public:
  // Goes on after `cursor`; without one, from the oldest line there is. If the cursor's
  // segment is gone, from the oldest line after it. The file need not exist yet.
  static absl::StatusOr<std::unique_ptr<SegmentReader>> Open(FileSystem& fs, const std::string& audit_path,
                                                             const std::optional<Cursor>& cursor);
  // The next line without its end, valid until the next call; nothing at the end of what is
  // there. A line longer than kMaxLineBytes is skipped and counted.
  absl::StatusOr<std::optional<absl::string_view>> Next();
  // After the last line returned.
  const Cursor& cursor() const { return cursor_; }
  // Back to a cursor this reader returned.
  absl::Status Seek(const Cursor& cursor);
  // How many whole lines are after cursor() now. Reads them all.
  absl::StatusOr<uint64_t> CountRemaining();

  // Lines that were too long, and remains of one at the end of a closed segment.
  uint64_t skipped() const;

 private:
  SegmentReader(FileSystem& fs, const std::string& audit_path) : fs_(fs), path_(audit_path) {}
  absl::Status Locate();
  absl::Status LocateIfChanged();
  absl::StatusOr<bool> OpenSegment(const Segment& segment, int64_t offset, uint64_t seq);
  absl::StatusOr<bool> MoveOn();
  absl::StatusOr<bool> Changed();
  absl::StatusOr<bool> EnterNext();

  FileSystem& fs_;
  const std::string path_;
  std::unique_ptr<File> file_;  // null: nothing to read found yet
  std::unique_ptr<LineScanner> lines_;
  std::string first_line_;  // of the open segment: tells a truncated and refilled file
  Cursor cursor_;
  bool at_end_ = false;   // the last Next() found nothing
  uint64_t skipped_ = 0;  // by earlier scanners
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_READER_H_
