// Theory of operation. The reader keeps its segment open, so a rename does not disturb it. At the
// end of what is there it asks whether the path still names the open file:
//
// - Yes: wait, unless the file's first line or size says that it was truncated and begun anew.
// - No: the segment may be closed. A later segment with a line in it proves that: the writer
//   begins one only when it has finished with the old file. Then read once more (the writer may
//   have written between the last read and the rename), and move on.
//
// When the open file can't be gone on with, Locate() starts from the cursor as after a restart.
#include "userspace/audit/reader.h"

#include <glog/logging.h>

#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

bool IsAt(const Segment& segment, const Cursor& cursor) {
  return segment.boot == cursor.boot && segment.first_seq == cursor.first_seq;
}

// The segment to read after the cursor's; null if there is none yet.
const Segment* After(const std::vector<Segment>& segments, const Cursor& cursor) {
  const Segment* last_before = nullptr;  // the newest of the cursor's boot that is not after it
  for (const Segment& segment : segments) {
    if (segment.boot != cursor.boot) continue;
    if (segment.first_seq > cursor.first_seq) return &segment;
    last_before = &segment;
  }
  if (last_before == nullptr) return segments.empty() ? nullptr : &segments.front();
  return last_before == &segments.back() ? nullptr : last_before + 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SegmentReader>> SegmentReader::Open(FileSystem& fs, const std::string& audit_path,
                                                                   const std::optional<Cursor>& cursor) {
  auto reader = absl::WrapUnique(new SegmentReader(fs, audit_path));
  LATTICE_RETURN_IF_ERROR(reader->Seek(cursor.value_or(Cursor())));
  return reader;
}

absl::Status SegmentReader::Seek(const Cursor& cursor) {
  cursor_ = cursor;
  return Locate();
}

// Opens the segment that holds the line after cursor_, if it is there.
absl::Status SegmentReader::Locate() {
  file_.reset();
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs_, path_));
  for (const Segment& segment : segments) {
    if (!IsAt(segment, cursor_) || segment.info.size < cursor_.offset) continue;
    LATTICE_ASSIGN_OR_RETURN(const bool opened, OpenSegment(segment, cursor_.offset, cursor_.seq));
    if (opened) return absl::OkStatus();
  }
  const Segment* next = After(segments, cursor_);
  if (next == nullptr) return absl::OkStatus();
  return OpenSegment(*next, 0, cursor_.seq).status();
}

// False if the file is gone by now, or another under its name, or `offset` is inside a line.
absl::StatusOr<bool> SegmentReader::OpenSegment(const Segment& segment, int64_t offset, uint64_t seq) {
  absl::StatusOr<std::unique_ptr<File>> file = fs_.OpenRead(segment.path);
  if (absl::IsNotFound(file.status())) return false;
  if (!file.ok()) return file.status();
  LATTICE_ASSIGN_OR_RETURN(const FileInfo info, (*file)->Stat());
  if (!info.SameFile(segment.info)) return false;
  if (offset > 0) {
    char before = 0;
    LATTICE_ASSIGN_OR_RETURN(const size_t n, (*file)->ReadAt(offset - 1, &before, 1));
    if (n != 1 || before != '\n') return false;
  }
  if (lines_ != nullptr) skipped_ += lines_->skipped();
  file_ = *std::move(file);
  lines_ = std::make_unique<LineScanner>(*file_, offset);
  first_line_ = segment.first_line;
  cursor_ = {.boot = segment.boot, .first_seq = segment.first_seq, .offset = offset, .seq = seq};
  return true;
}

absl::StatusOr<std::optional<absl::string_view>> SegmentReader::Next() {
  // Before bytes that came later than the last look are taken for the next lines.
  if (std::exchange(at_end_, false)) LATTICE_RETURN_IF_ERROR(LocateIfChanged());
  while (true) {
    if (file_ != nullptr) {
      LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, lines_->Next());
      if (line.has_value()) {
        cursor_.offset = lines_->offset();
        if (const uint64_t seq = SeqOfLine(*line); seq != 0) cursor_.seq = seq;
        return line;
      }
    }
    LATTICE_ASSIGN_OR_RETURN(const bool more, MoveOn());
    if (more) continue;
    at_end_ = true;
    return std::nullopt;
  }
}

absl::Status SegmentReader::LocateIfChanged() {
  if (file_ == nullptr) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(const bool changed, Changed());
  if (!changed) return absl::OkStatus();
  LOG(WARNING) << "the audit file was truncated behind its reader; looking for its lines elsewhere";
  return Locate();
}

// At the end of the open file: whether there is something to read now.
absl::StatusOr<bool> SegmentReader::MoveOn() {
  const File* const before = file_.get();
  LATTICE_RETURN_IF_ERROR(file_ == nullptr ? Locate() : LocateIfChanged());
  if (file_.get() != before) return file_ != nullptr;
  if (file_ == nullptr) return false;
  absl::StatusOr<FileInfo> at_path = fs_.Stat(path_);
  if (!at_path.ok() && !absl::IsNotFound(at_path.status())) return at_path.status();
  LATTICE_ASSIGN_OR_RETURN(const FileInfo own, file_->Stat());
  if (at_path.ok() && at_path->SameFile(own)) return false;
  return EnterNext();
}

// Whether the open file no longer begins with the lines that were read from it.
absl::StatusOr<bool> SegmentReader::Changed() {
  LATTICE_ASSIGN_OR_RETURN(const FileInfo own, file_->Stat());
  if (own.size < cursor_.offset) return true;
  std::string start(first_line_.size(), '\0');
  LATTICE_ASSIGN_OR_RETURN(const size_t n, file_->ReadAt(0, start.data(), start.size()));
  return n != start.size() || start != first_line_;
}

absl::StatusOr<bool> SegmentReader::EnterNext() {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs_, path_));
  const Segment* next = After(segments, cursor_);
  if (next == nullptr) return false;
  LATTICE_ASSIGN_OR_RETURN(const FileInfo own, file_->Stat());
  LATTICE_ASSIGN_OR_RETURN(const bool grown, lines_->HasMore());
  if (grown) return true;
  if (own.size > cursor_.offset) {
    LOG(WARNING) << "an audit segment ends inside a line, which is skipped";
    ++skipped_;
  }
  return OpenSegment(*next, 0, cursor_.seq);
}

absl::StatusOr<uint64_t> SegmentReader::CountRemaining() {
  LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<SegmentReader> ahead, Open(fs_, path_, cursor_));
  uint64_t count = 0;
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, ahead->Next());
    if (!line.has_value()) return count;
    ++count;
  }
}

uint64_t SegmentReader::skipped() const {
  return skipped_ + (lines_ != nullptr ? lines_->skipped() : 0);
}

}  // namespace lattice::audit
