// The audit file's one writer: numbers, encodes, chains and appends flow records, and
// rotates, repairs and prunes the files.
//
//   LATTICE_ASSIGN_OR_RETURN(auto audit, AuditFile::Open(RealFileSystem(), RealClock(), options));
//   for each record of the batch: if (!audit->AlreadyWritten(raw)) audit->Add(record);
//   absl::Status written = audit->Commit();
//   if (written.ok()) commit the ring, store audit->next_seq() in the info map;
//   else wait audit->retry_delay() and Commit() again, the ring uncommitted;
//   audit->Tick() once a second.
//
// The promise: after Commit() returned OK every added record is a whole line in the file
// (or, with DiskFull::kDrop, is counted and will be named in a loss record), numbers have
// no holes, and no line is half-written for longer than a failed write takes to cut
// back. All calls from the recorder's thread; counters() from any.
//
// Theory of operation: audit_file.cc. Files on disk: segment.h. Loss stages: flow/record.h.
#ifndef USERSPACE_AUDIT_AUDIT_FILE_H_
#define USERSPACE_AUDIT_AUDIT_FILE_H_

#include <lattice/abi.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/audit_file_options.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/heads.h"
#include "userspace/audit/recovery.h"
#include "userspace/base/clock.h"
#include "userspace/base/rate_limit.h"
#include "userspace/flow/from_kernel.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

class AuditFile {
 public:
  // Opens or creates the file, cuts a partial last line, finds the next number and the head
  // of the chain. A file of another boot is closed as a segment, so that a segment is of one
  // boot. Loss records for damage that was found are written by the first Commit().
  // PermissionDenied, NotFound and so on name the path and --audit-log.
  static absl::StatusOr<std::unique_ptr<AuditFile>> Open(FileSystem& fs, const Clock& clock, AuditFileOptions options);
  ~AuditFile();

  // Whether `record` is in the file from before Open(): the ring is read again from the last
  // committed position after a crash. Each record is found once.
  bool AlreadyWritten(const lat_record& record);
  // Frees what AlreadyWritten() remembers; call it when both rings have been drained once.
  void ForgetRecovered();

  // Gives `record` node, boot and seq, and adds its line to the batch.
  void Add(flow::FlowRecord& record);
  // As Add(), of a loss record, and counts it.
  void AddLoss(const Loss& loss);
  size_t batch_records() const { return lines_.size() - first_line_; }
  size_t batch_bytes() const { return batch_.size() - batch_start_; }

  // Appends the batch in one write, and syncs as SyncPolicy says. On error the records not yet in the file
  // are kept: call again after retry_delay(), also when batch_records() is 0, since what is written may not be
  // synced. Add() in between is allowed. ResourceExhausted: disk full.
  absl::Status Commit();
  // How long to wait after a failed Commit(): 50 ms doubling to 5 s.
  absl::Duration retry_delay() const { return retry_delay_; }

  // SIGHUP: rotates (unless the segment is empty) and opens the path anew.
  absl::Status Reopen();
  // Sync and rotation by time, and the loss records of dropped batches. Call it each second.
  absl::Status Tick();
  // Commits and syncs. The file stays the live segment of the next start. An error also when records
  // were dropped and the file has no room to say so.
  absl::Status Close();

  // Drops the batch as DiskFull::kDrop does, whatever the policy: nobody will have its records again.
  void GiveUp();
  // Whether a kill now would lose no news of a loss: every loss record is in the file or parked.
  bool losses_safe() const { return losses_safe_; }
  // First number that is not in the file: the value for info.next_seq.
  uint64_t next_seq() const { return written_seq_ + 1; }
  // `h` of the last line in the file.
  absl::string_view head() const { return written_head_; }
  // The same with its number; 0 before the first write of this object. For Publisher::Written().
  const Head& newest() const { return newest_; }
  const std::string& path() const { return options_.path; }
  const AuditFileCounters& counters() const { return counters_; }

 private:
  struct Line {  // of the batch
    size_t end;  // offset in batch_ after its '\n'
    std::array<char, kHashHexBytes> h;
  };
  AuditFile(FileSystem& fs, const Clock& clock, AuditFileOptions options);

  // audit_file_open.cc: at start, and what a start goes by.
  absl::Status Recover();
  absl::Status RecoverLive();
  absl::Status AdoptLive(const Recovered& live);
  absl::Status TakeOverEnd();
  void NumberOn();
  uint64_t LoadMark();
  void StoreMark();

  // audit_file.cc: writing.
  absl::Status WriteBatch();
  absl::Status WriteUpTo(size_t end);
  absl::Status CutBack();
  void Advance(size_t end);
  absl::Status Failed(const absl::Status& status);
  void Succeeded();
  absl::Status SyncNow();
  absl::Status SyncLeft();

  // audit_file_losses.cc: what is missing.
  flow::FlowRecord MakeRecord(const Loss& loss) const;
  flow::FlowRecord MakeDropped() const;
  void PendLoss(const Loss& loss);
  void AddPendingLosses();
  void DropBatch();
  void ParkLosses();
  void ForgetParked();
  absl::Status LoadParked();

  // audit_file_rotate.cc: files and their names.
  absl::Status FollowPath();
  absl::Status FollowMoved();
  absl::Status FollowSize(int64_t size);
  absl::Status FollowTruncated(int64_t size);
  absl::Status RotateIfLarge();
  absl::Status Rotate();
  absl::Status RenameLive(absl::string_view boot, uint64_t first_seq);
  absl::Status OpenNew();
  absl::Status MoveAside(absl::string_view why);
  void BeginSegment();
  void StoreDigest(const std::string& name);
  void Prune();
  absl::StatusOr<std::string> FreeName(const std::string& wanted);

  FileSystem& fs_;
  const Clock& clock_;
  const AuditFileOptions options_;
  Encoder encoder_;
  AuditFileCounters counters_;

  // The batch: lines from first_line_ on, bytes from batch_start_ on, are not yet in the file.
  HashChain chain_;  // head after the batch
  uint64_t next_seq_ = 1;
  std::string batch_;
  size_t batch_start_ = 0;
  std::vector<Line> lines_;
  size_t first_line_ = 0;
  // Loss records of the batch, so that DiskFull::kDrop does not drop the news of losses.
  std::vector<flow::FlowRecord> losses_;
  std::vector<flow::FlowRecord> pending_losses_;
  uint64_t dropped_ = 0;  // not yet in a loss record
  absl::Time dropped_from_;
  uint64_t marked_seq_ = 0;  // in the mark
  bool parked_ = false;      // there is a file of parked losses
  bool losses_safe_ = true;
  RateLimit park_log_{absl::Seconds(60)};

  // The live file as far as it holds whole lines of ours.
  std::unique_ptr<File> file_;  // null: could not be opened anew; tried again at each Commit()
  FileInfo live_;               // its identity
  int64_t written_size_ = 0;
  bool torn_ = false;  // bytes after written_size_ must be cut before the next write
  uint64_t written_seq_ = 0;
  std::string written_head_{kChainStart};
  Head newest_;
  SegmentState segment_;
  absl::Time segment_opened_;
  Sha256 segment_sha_;
  std::string previous_digest_;
  bool digests_due_ = false;

  bool unsynced_ = false;
  int64_t synced_at_ns_ = 0;
  bool failing_ = false;
  absl::Duration retry_delay_ = absl::ZeroDuration();
  RateLimit failure_log_{absl::Seconds(10)};
  RateLimit rotate_log_{absl::Seconds(60)};

  absl::flat_hash_set<flow::RecordIdentity> recovered_;
  uint64_t opened_monotonic_ns_ = 0;
};

// The first 12 hex digits of the kernel's boot id.
absl::StatusOr<std::string> ReadBootId();

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_AUDIT_FILE_H_
