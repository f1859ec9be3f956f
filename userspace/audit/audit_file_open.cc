// How an AuditFile finds its way back into the files of the process before it. Nothing that
// it does not know is changed: a file that is not ours is refused, what can't be read is
// put aside under another name, and only a line without an end is cut.
#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/state_json.h"
#include "userspace/base/status.h"

namespace lattice::audit {

absl::StatusOr<std::unique_ptr<AuditFile>> AuditFile::Open(FileSystem& fs, const Clock& clock,
                                                           AuditFileOptions options) {
  if (options.path.empty() || options.node.empty() || options.boot.empty()) {
    return absl::InvalidArgumentError("an audit file needs a path (--audit-log), a node and a boot");
  }
  auto audit = absl::WrapUnique(new AuditFile(fs, clock, std::move(options)));
  LATTICE_RETURN_IF_ERROR(Annotate(audit->Recover(), absl::StrCat("--audit-log ", audit->options_.path)));
  return audit;
}

absl::Status AuditFile::Recover() {
  opened_monotonic_ns_ = static_cast<uint64_t>(clock_.MonotonicNs());
  synced_at_ns_ = clock_.MonotonicNs();
  LATTICE_RETURN_IF_ERROR(LoadParked());
  LATTICE_RETURN_IF_ERROR(RecoverLive());
  if (segment_.lines == 0) LATTICE_RETURN_IF_ERROR(TakeOverEnd());
  NumberOn();
  AddPendingLosses();
  LATTICE_ASSIGN_OR_RETURN(recovered_, RecentRecords(fs_, options_.path, options_.boot, options_.recover_records));
  absl::StatusOr<std::string> previous = EnsureDigests(fs_, options_.path, clock_.Now(), options_.signing_key.get());
  digests_due_ = !previous.ok();
  if (previous.ok()) {
    previous_digest_ = *std::move(previous);
  } else {
    LOG(WARNING) << "audit file: digests come later: " << previous.status().message();
  }
  Prune();
  return absl::OkStatus();
}

// Opens the live file and repairs its end.
absl::Status AuditFile::RecoverLive() {
  LATTICE_ASSIGN_OR_RETURN(file_, fs_.OpenAppend(options_.path, options_.file_mode));
  LATTICE_ASSIGN_OR_RETURN(live_, file_->Stat());
  LATTICE_ASSIGN_OR_RETURN(const Recovered live, ScanSegment(*file_, &segment_sha_));
  if (!live.ours) {
    return absl::FailedPreconditionError(
        "this file exists and is not an audit file: move it away or name another with --audit-log");
  }
  if (live.whole_size < live.size) {
    LOG(WARNING) << "audit file " << options_.path << ": cutting " << live.size - live.whole_size
                 << " bytes of a half-written last line";
    LATTICE_RETURN_IF_ERROR(file_->Truncate(live.whole_size));
    LATTICE_RETURN_IF_ERROR(file_->Sync());  // the file may be renamed and closed as it is
    counters_.damages.fetch_add(1, std::memory_order_relaxed);
    // In the rings of this boot the record still is, and will be written again.
    const bool comes_again = options_.rings_adopted && (live.segment.lines == 0 || live.boot == options_.boot);
    if (!comes_again) PendLoss({.stage = flow::kStagePartialLine, .count = 1, .from = live.first_ts});
  }
  written_size_ = live.whole_size;
  return live.segment.lines > 0 ? AdoptLive(live) : fs_.SyncFolder(FolderOf(options_.path));
}

absl::Status AuditFile::AdoptLive(const Recovered& live) {
  if (!live.head.empty()) written_head_ = live.head;
  if (live.boot == options_.boot) written_seq_ = live.segment.last_seq;
  if (!live.first_readable) {
    PendLoss({.stage = flow::kStageDamaged, .count = live.segment.lines, .from = clock_.Now()});
    return MoveAside("its first line can't be read");
  }
  if (live.last_readable && live.boot == options_.boot) {
    segment_ = live.segment;
    segment_opened_ = live.first_ts;
    return absl::OkStatus();
  }
  if (!live.last_readable) {
    LOG(ERROR) << "audit file " << options_.path << ": its last line can't be read; a new segment begins";
    counters_.damages.fetch_add(1, std::memory_order_relaxed);
    PendLoss({.stage = flow::kStageDamaged, .count = 1, .from = live.first_ts});
  }
  // Its digest is made by EnsureDigests().
  LATTICE_RETURN_IF_ERROR(RenameLive(live.boot, live.segment.first_seq));
  return OpenNew();
}

// The live file is empty: chain and numbers go on from the newest closed segment.
absl::Status AuditFile::TakeOverEnd() {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Segment> segments, ListSegments(fs_, options_.path));
  if (segments.empty()) return absl::OkStatus();
  // That of this boot, if it has any: where the chain is broken, a boot before it may be in the last place.
  const auto own = std::find_if(segments.rbegin(), segments.rend(),
                                [&](const Segment& segment) { return segment.boot == options_.boot; });
  const Segment& newest = own == segments.rend() ? segments.back() : *own;
  // Whatever its last line says: a segment is known by its first number.
  if (newest.boot == options_.boot) written_seq_ = std::max(written_seq_, newest.first_seq);
  LATTICE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, fs_.OpenRead(newest.path));
  LATTICE_ASSIGN_OR_RETURN(const Recovered scanned, ScanSegment(*file, nullptr));
  uint64_t last_seq = scanned.segment.last_seq;
  if (!scanned.head.empty()) written_head_ = scanned.head;
  // Its end was damaged since it was closed: the digest knows it still.
  const absl::StatusOr<std::string> text = fs_.ReadWhole(DigestPath(options_.path, newest.boot, newest.first_seq));
  const absl::StatusOr<SegmentDigest> digest = text.ok() ? DecodeDigest(*text) : text.status();
  if (!scanned.last_readable && digest.ok() && digest->last_seq >= last_seq) {
    last_seq = digest->last_seq;
    written_head_ = digest->head;
  }
  if (newest.boot == options_.boot) written_seq_ = std::max(written_seq_, last_seq);
  return absl::OkStatus();
}

// Numbers given out before that are not in the folder are told as lost, but for one case: the folder is empty and
// the kernel has none of our tables, so another path had the records.
void AuditFile::NumberOn() {
  const uint64_t mark = options_.rings_adopted ? 1 : LoadMark();
  if (written_head_ == kChainStart) written_seq_ = std::max(written_seq_, mark - 1);
  const uint64_t next = std::max(options_.min_next_seq, mark);
  if (next > written_seq_ + 1) {
    const absl::Time boot_time = clock_.Now() - absl::Nanoseconds(clock_.MonotonicNs());
    PendLoss({.stage = flow::kStageSeqHole,
              .count = next - 1 - written_seq_,
              .from = boot_time,
              .first_seq = written_seq_ + 1,
              .last_seq = next - 1});
    LOG(WARNING) << "audit file " << options_.path << ": records " << written_seq_ + 1 << " to " << next - 1
                 << " of this boot are not in it";
    written_seq_ = next - 1;
  }
  next_seq_ = written_seq_ + 1;
  chain_.Reset(written_head_);
}

// The first number that no audit file of this boot has; 1 if that is not known.
uint64_t AuditFile::LoadMark() {
  if (options_.mark_path.empty()) return 1;
  const absl::StatusOr<std::string> text = fs_.ReadWhole(options_.mark_path);
  if (absl::IsNotFound(text.status())) return 1;
  const absl::StatusOr<StateObject> state = text.ok() ? DecodeState(*text) : text.status();
  const absl::StatusOr<std::string> boot = state.ok() ? state->Text("boot") : state.status();
  const absl::StatusOr<uint64_t> next = state.ok() ? state->Number("nextSeq") : state.status();
  if (boot.ok() && next.ok()) return *boot == options_.boot ? std::max<uint64_t>(*next, 1) : 1;
  LOG(ERROR) << options_.mark_path << " can't be read; if the audit file is another one than before, numbers may come "
             << "twice: " << state.status().message();
  return 1;
}

void AuditFile::StoreMark() {
  if (options_.mark_path.empty() || marked_seq_ == next_seq()) return;
  const std::string text = EncodeState({.texts = {{"boot", options_.boot}}, .numbers = {{"nextSeq", next_seq()}}});
  if (const absl::Status stored = fs_.WriteAtomically(options_.mark_path, text, 0640); stored.ok()) {
    marked_seq_ = next_seq();
  } else if (auto suppressed = park_log_.Admit(clock_.MonotonicNs())) {
    LOG(WARNING) << "audit file: " << stored.message() << " (" << *suppressed << " more such failures)";
  }
}

}  // namespace lattice::audit
