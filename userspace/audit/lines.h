// Reading lines from an open file: forward in large pieces, and from its end.
// One thread per object.
#ifndef USERSPACE_AUDIT_LINES_H_
#define USERSPACE_AUDIT_LINES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/audit/file_system.h"

namespace lattice::audit {

// A line longer than this is no audit line: it is skipped unread.
inline constexpr size_t kMaxLineBytes = 64 * 1024;

class LineScanner {
 public:
  // From `offset` on, which is the beginning of a line. `file` must outlive this.
  LineScanner(File& file, int64_t offset) : file_(file), offset_(offset), buffer_offset_(offset) {}
  // The next whole line without its '\n', valid until the next call; nothing at the end
  // of the file. More may be there at a later call.
  absl::StatusOr<std::optional<absl::string_view>> Next();
  // Whether the file has bytes now that the last Next() did not see.
  absl::StatusOr<bool> HasMore() { return Fill(); }
  int64_t offset() const { return offset_; }     // after the last line returned or skipped
  uint64_t skipped() const { return skipped_; }  // lines over kMaxLineBytes

 private:
  absl::StatusOr<bool> Fill();

  File& file_;
  int64_t offset_;
  int64_t buffer_offset_;  // of buffer_[0] in the file
  std::string buffer_;
  size_t pos_ = 0;       // of the line that Next() returns next
  size_t searched_ = 0;  // before it is no '\n' after pos_
  bool skipping_ = false;
  uint64_t skipped_ = 0;
};

// The first line without its '\n'; nothing if there is no whole one of at most kMaxLineBytes.
absl::StatusOr<std::optional<std::string>> FirstLine(File& file);
// Where the last `count` whole lines begin; 0 if there are no more than that.
absl::StatusOr<int64_t> OffsetOfLastLines(File& file, size_t count);
// The last whole line without its '\n'; nothing if there is none.
absl::StatusOr<std::optional<std::string>> LastLine(File& file);

// The number after `,"seq":`, which no string value can contain unescaped; 0 if there is none.
uint64_t SeqOfLine(absl::string_view line);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_LINES_H_
