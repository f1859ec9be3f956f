#include "userspace/audit/retention.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "userspace/audit/cursor.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/segment.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

// How far the publisher is, in the order of `segments`.
class Published {
 public:
  Published(const std::vector<Segment>& segments, std::optional<Cursor> cursor) : cursor_(std::move(cursor)) {
    if (!cursor_.has_value()) return;
    for (size_t i = 0; i < segments.size(); ++i) {
      if (segments[i].boot == cursor_->boot) last_of_boot_ = i;
    }
  }
  // Of segment `index` of `boot`, the newest number that is published; 0: none.
  uint64_t LastSeq(size_t index, const Segment& segment) const {
    if (!cursor_.has_value() || !last_of_boot_.has_value()) return 0;
    if (segment.boot == cursor_->boot) return cursor_->seq;
    return index < *last_of_boot_ ? UINT64_MAX : 0;
  }

 private:
  std::optional<Cursor> cursor_;
  std::optional<size_t> last_of_boot_;
};

absl::Status CountLost(FileSystem& fs, const Segment& segment, uint64_t published_seq, DeletedSegment* deleted) {
  LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs.OpenRead(segment.path));
  LineScanner scanner(*file, 0);
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
    if (!line.has_value()) return absl::OkStatus();
    const uint64_t seq = SeqOfLine(*line);
    if (seq <= published_seq) continue;
    if (++deleted->lost == 1) deleted->lost_first_seq = seq;
    deleted->lost_last_seq = seq;
  }
}

}  // namespace

absl::Status PruneSegments(FileSystem& fs, const std::string& audit_path, int64_t cap_bytes, bool publishing,
                           std::vector<DeletedSegment>* deleted) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs, audit_path));
  int64_t total = 0;
  for (const Segment& segment : segments) total += segment.info.size;
  if (total <= cap_bytes) return absl::OkStatus();

  std::optional<Cursor> cursor;
  if (publishing) {
    LATTICE_ASSIGN_OR_RETURN(cursor, LoadCursor(fs, CursorPath(audit_path)));
  }
  const Published published(segments, cursor);
  for (size_t i = 0; i < segments.size() && total > cap_bytes; ++i) {
    const Segment& segment = segments[i];
    if (segment.live) continue;
    DeletedSegment gone{.path = segment.path, .boot = segment.boot, .first_ts = segment.first_ts};
    if (publishing) {
      LATTICE_RETURN_IF_ERROR(CountLost(fs, segment, published.LastSeq(i, segment), &gone));
    }
    LATTICE_RETURN_IF_ERROR(fs.Remove(segment.path));
    total -= segment.info.size;
    deleted->push_back(std::move(gone));
    const std::string digest = DigestPath(audit_path, segment.boot, segment.first_seq);
    for (const std::string& path : {digest, SignaturePath(digest)}) {
      const absl::Status removed = fs.Remove(path);
      if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
    }
  }
  return absl::OkStatus();
}

}  // namespace lattice::audit
