#include "userspace/audit/cursor.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::audit {

StateObject CursorState(const Cursor& cursor) {
  StateObject object;
  object.texts["boot"] = cursor.boot;
  object.numbers["firstSeq"] = cursor.first_seq;
  object.numbers["offset"] = static_cast<uint64_t>(cursor.offset);
  object.numbers["seq"] = cursor.seq;
  return object;
}

std::string EncodeCursor(const Cursor& cursor) {
  return EncodeState(CursorState(cursor));
}

absl::StatusOr<Cursor> DecodeCursor(absl::string_view text) {
  LATTICE_ASSIGN_OR_RETURN(const StateObject object, DecodeState(text));
  Cursor cursor;
  LATTICE_ASSIGN_OR_RETURN(cursor.boot, object.Text("boot"));
  LATTICE_ASSIGN_OR_RETURN(cursor.first_seq, object.Number("firstSeq"));
  LATTICE_ASSIGN_OR_RETURN(const uint64_t offset, object.Number("offset"));
  LATTICE_ASSIGN_OR_RETURN(cursor.seq, object.Number("seq"));
  if (offset > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("\"offset\": too large");
  }
  cursor.offset = static_cast<int64_t>(offset);
  return cursor;
}

std::string CursorPath(absl::string_view audit_path) {
  return absl::StrCat(audit_path, ".cursor");
}

absl::StatusOr<std::optional<Cursor>> LoadCursor(FileSystem& fs, const std::string& path) {
  absl::StatusOr<std::string> text = fs.ReadWhole(path);
  if (absl::IsNotFound(text.status())) return std::nullopt;
  if (!text.ok()) return text.status();
  absl::StatusOr<Cursor> cursor = DecodeCursor(*text);
  if (!cursor.ok()) return Annotate(cursor.status(), path);
  return *std::move(cursor);
}

absl::Status StoreCursor(FileSystem& fs, const std::string& path, const Cursor& cursor) {
  return fs.WriteAtomically(path, EncodeCursor(cursor), 0640);
}

}  // namespace lattice::audit
