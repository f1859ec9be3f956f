// How far a reader of the audit file is, and the state file that remembers it.
#ifndef USERSPACE_AUDIT_CURSOR_H_
#define USERSPACE_AUDIT_CURSOR_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/state_json.h"

namespace lattice::audit {

// A place between two lines. A segment is known by its first record, not by its name or
// inode, so a cursor survives rotation, logrotate and copies.
struct Cursor {
  std::string boot;        // empty: before everything
  uint64_t first_seq = 0;  // of the segment
  int64_t offset = 0;      // in bytes, after the last line read
  uint64_t seq = 0;        // of the last line read; 0: none yet

  bool operator==(const Cursor&) const = default;
};

std::string EncodeCursor(const Cursor& cursor);
// As the keys of a state file, which may hold others too.
StateObject CursorState(const Cursor& cursor);
absl::StatusOr<Cursor> DecodeCursor(absl::string_view text);

// The state file `<audit>.cursor`, replaced atomically.
std::string CursorPath(absl::string_view audit_path);
// Nothing if there is no such file; InvalidArgument naming the file if it is no cursor.
absl::StatusOr<std::optional<Cursor>> LoadCursor(FileSystem& fs, const std::string& path);
absl::Status StoreCursor(FileSystem& fs, const std::string& path, const Cursor& cursor);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_CURSOR_H_
