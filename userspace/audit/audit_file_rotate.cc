// The audit file's names: rotation, and following what others do to the path. A rename that
// fails leaves the old file in use; after a rename the new file is tried until it opens.
#include <glog/logging.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/lines.h"
#include "userspace/audit/retention.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

}  // namespace

absl::Status AuditFile::Reopen() {
  LATTICE_RETURN_IF_ERROR(FollowPath());
  return Rotate();
}

absl::Status AuditFile::FollowPath() {
  if (file_ == nullptr) return OpenNew();
  absl::StatusOr<FileInfo> at_path = fs_.Stat(options_.path);
  if (!at_path.ok() && !absl::IsNotFound(at_path.status())) return at_path.status();
  if (at_path.ok() && at_path->SameFile(live_)) return FollowSize(at_path->size);
  return FollowMoved();
}

// The path names another file, or none.
absl::Status AuditFile::FollowMoved() {
  if (torn_) LATTICE_RETURN_IF_ERROR(CutBack());
  LATTICE_ASSIGN_OR_RETURN(const FileInfo own, file_->Stat());
  if (own.links == 0) {
    LOG(ERROR) << "audit file " << options_.path << " was deleted with " << segment_.lines << " records";
    counters_.damages.fetch_add(1, std::memory_order_relaxed);
    if (segment_.lines > 0) {
      AddLoss({.stage = flow::kStageDeleted,
               .count = segment_.lines,
               .from = segment_opened_,
               .first_seq = segment_.first_seq,
               .last_seq = segment_.last_seq});
    }
  } else {
    LOG(INFO) << "audit file " << options_.path << " was moved away; a new one begins";
    LATTICE_RETURN_IF_ERROR(SyncLeft());
  }
  if (segment_.lines > 0) StoreDigest(BaseName(SegmentPath(options_.path, options_.boot, segment_.first_seq)));
  return OpenNew();
}

// The open file is `size` bytes long.
absl::Status AuditFile::FollowSize(int64_t size) {
  if (size == written_size_ || (size > written_size_ && torn_)) return absl::OkStatus();
  counters_.damages.fetch_add(1, std::memory_order_relaxed);
  if (size > written_size_) {
    LOG(ERROR) << "audit file " << options_.path << ": somebody else wrote " << size - written_size_
               << " bytes to it; a new segment begins";
    return segment_.lines > 0 ? Rotate() : MoveAside("somebody else wrote to it");
  }
  return FollowTruncated(size);
}

absl::Status AuditFile::FollowTruncated(int64_t size) {
  LOG(ERROR) << "audit file " << options_.path << " was truncated from " << written_size_ << " to " << size << " bytes";
  torn_ = false;
  // What is left: nothing, a beginning, or (truncated just before our last write) an end.
  LineScanner scanner(*file_, 0);
  uint64_t first_left = 0, last_left = 0;
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, scanner.Next());
    if (!line.has_value()) break;
    last_left = SeqOfLine(*line);
    if (first_left == 0) first_left = last_left;
  }
  const bool left_end = first_left > segment_.first_seq;
  const uint64_t lost_first = left_end || last_left == 0 ? segment_.first_seq : last_left + 1;
  const uint64_t lost_last = left_end ? first_left - 1 : segment_.last_seq;
  if (lost_first <= lost_last) {
    AddLoss({.stage = flow::kStageTruncated,
             .count = lost_last - lost_first + 1,
             .from = segment_opened_,
             .first_seq = lost_first,
             .last_seq = lost_last});
  }
  if (left_end) {
    digests_due_ = true;
  } else {
    StoreDigest(BaseName(SegmentPath(options_.path, options_.boot, segment_.first_seq)));
  }
  if (size > 0) {
    if (first_left == 0) return MoveAside("it was truncated");
    LATTICE_RETURN_IF_ERROR(RenameLive(options_.boot, first_left));
    return OpenNew();
  }
  BeginSegment();
  return absl::OkStatus();
}

absl::Status AuditFile::RotateIfLarge() {
  const bool large =
      options_.rotate_bytes > 0 && written_size_ + static_cast<int64_t>(batch_bytes()) > options_.rotate_bytes;
  if (!large) return absl::OkStatus();
  const absl::Status rotated = Rotate();
  if (rotated.ok() || file_ == nullptr) return rotated;
  if (auto suppressed = rotate_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "audit file: can't rotate, going on in the same file: " << rotated.message() << " (" << *suppressed
               << " more such failures)";
  }
  return absl::OkStatus();
}

absl::Status AuditFile::Rotate() {
  if (file_ == nullptr || segment_.lines == 0) return absl::OkStatus();
  if (torn_) LATTICE_RETURN_IF_ERROR(CutBack());
  LATTICE_RETURN_IF_ERROR(SyncLeft());
  LATTICE_RETURN_IF_ERROR(RenameLive(options_.boot, segment_.first_seq));
  StoreDigest(BaseName(SegmentPath(options_.path, options_.boot, segment_.first_seq)));
  counters_.rotations.fetch_add(1, std::memory_order_relaxed);
  LATTICE_RETURN_IF_ERROR(OpenNew());
  Prune();
  return absl::OkStatus();
}

absl::Status AuditFile::RenameLive(absl::string_view boot, uint64_t first_seq) {
  LATTICE_ASSIGN_OR_RETURN(const std::string name, FreeName(SegmentPath(options_.path, boot, first_seq)));
  return fs_.Rename(options_.path, name);
}

absl::Status AuditFile::MoveAside(absl::string_view why) {
  LATTICE_ASSIGN_OR_RETURN(const std::string name, FreeName(absl::StrCat(options_.path, ".damaged")));
  LOG(ERROR) << "audit file " << options_.path << " is moved to " << name << ": " << why;
  LATTICE_RETURN_IF_ERROR(fs_.Rename(options_.path, name));
  return OpenNew();
}

absl::StatusOr<std::string> AuditFile::FreeName(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; i < 1000; ++i) {
    const absl::Status taken = fs_.Stat(name).status();
    if (absl::IsNotFound(taken)) return name;
    LATTICE_RETURN_IF_ERROR(taken);
    name = absl::StrCat(wanted, ".", i);
  }
  return absl::AlreadyExistsError(absl::StrCat(wanted, " and 999 names after it are taken"));
}

// A new file at the path. What somebody else put there is moved aside.
absl::Status AuditFile::OpenNew() {
  file_.reset();
  LATTICE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, fs_.OpenAppend(options_.path, options_.file_mode));
  LATTICE_ASSIGN_OR_RETURN(live_, file->Stat());
  if (live_.size > 0) {
    LATTICE_ASSIGN_OR_RETURN(const std::string name, FreeName(absl::StrCat(options_.path, ".found")));
    LOG(ERROR) << "audit file " << options_.path << " is a file that somebody else filled; it is moved to " << name;
    LATTICE_RETURN_IF_ERROR(fs_.Rename(options_.path, name));
    LATTICE_ASSIGN_OR_RETURN(file, fs_.OpenAppend(options_.path, options_.file_mode));
    LATTICE_ASSIGN_OR_RETURN(live_, file->Stat());
  }
  file_ = std::move(file);
  BeginSegment();
  if (const absl::Status synced = fs_.SyncFolder(FolderOf(options_.path)); !synced.ok()) {
    counters_.sync_failures.fetch_add(1, std::memory_order_relaxed);
    LOG(ERROR) << "audit file: " << synced.message();
  }
  return absl::OkStatus();
}

void AuditFile::BeginSegment() {
  written_size_ = 0;
  torn_ = false;
  segment_ = {};
  segment_sha_.FinishHex();
}

// A digest that can't be written now is made by Tick() from the closed file.
void AuditFile::StoreDigest(const std::string& name) {
  const std::array<char, kHashHexBytes> sha256 = segment_sha_.FinishHex();
  if (digests_due_) return;
  const std::string text = EncodeDigest({
      .name = name,
      .boot = options_.boot,
      .first_seq = segment_.first_seq,
      .last_seq = segment_.last_seq,
      .lines = segment_.lines,
      .bytes = written_size_,
      .sha256 = std::string(sha256.begin(), sha256.end()),
      .head = written_head_,
      .previous = previous_digest_,
      .closed = clock_.Now(),
  });
  const std::string path = DigestPath(options_.path, options_.boot, segment_.first_seq);
  const absl::Status stored = StoreSignedDigest(fs_, path, text, options_.signing_key.get());
  if (!stored.ok()) {
    digests_due_ = true;
    LOG(WARNING) << "audit file: a digest comes later: " << stored.message();
    return;
  }
  previous_digest_ = HashOfDigest(text);
}

void AuditFile::Prune() {
  if (options_.spool_cap_bytes == 0) return;
  std::vector<DeletedSegment> deleted;
  const absl::Status pruned =
      PruneSegments(fs_, options_.path, options_.spool_cap_bytes, options_.publishing, &deleted);
  if (!pruned.ok()) LOG(ERROR) << "audit file: can't delete old segments: " << pruned.message();
  for (const DeletedSegment& segment : deleted) {
    counters_.segments_deleted.fetch_add(1, std::memory_order_relaxed);
    if (segment.lost == 0) continue;
    LOG(ERROR) << "audit file: " << segment.path << " was deleted for the size cap with " << segment.lost
               << " records that are not published: raise --audit-max-size or bring NATS back";
    AddLoss({.stage = flow::kStageSpoolCap,
             .count = segment.lost,
             .from = segment.first_ts,
             .first_seq = segment.lost_first_seq,
             .last_seq = segment.lost_last_seq,
             .boot = segment.boot});
  }
}

}  // namespace lattice::audit
