// Theory of operation.
//
// Add() gives a record its number, encodes it and seals it into the hash chain in memory;
// Commit() appends the lines in one write. What is in the file (written_…) and what is only in
// memory (the batch) are kept apart, so that a failure at any byte leaves a known state:
//
// - A short or failed write keeps the whole lines that made it (a reader may have seen them), cuts
//   back the rest, and keeps the other lines for the next try. Should even the cut fail, it is
//   made good before the next write; readers never go past a line without an end.
// - kBlock keeps the batch; the caller leaves the ring uncommitted. kDrop forgets the batch and
//   sets number and chain back to what is in the file, so that numbers stay without
//   holes; the count comes as a loss record with the first write that works.
// - After kill -9 the last lines may be half-written, and the ring is read again from its last
//   commit. Open() cuts the half line, takes number and hash from the last whole one, and
//   AlreadyWritten() knows the newest lines' records.
// - After a power cut unsynced lines are gone, and so is the boot they were numbered in.
// - A failed fsync is counted and tried again, but Linux may have dropped the pages and report
//   success the second time: with a failing disk, "synced" means no more than the disk says.
//
// Before each write FollowPath() compares the path with the open file: logrotate may have moved
// it (follow), copied and truncated it, or somebody deleted it (both: loss record).
#include "userspace/audit/audit_file.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::audit {
namespace {

constexpr absl::Duration kMinRetryDelay = absl::Milliseconds(50);
constexpr absl::Duration kMaxRetryDelay = absl::Seconds(5);

}  // namespace

AuditFile::AuditFile(FileSystem& fs, const Clock& clock, AuditFileOptions options)
    : fs_(fs), clock_(clock), options_(std::move(options)) {}

AuditFile::~AuditFile() = default;

bool AuditFile::AlreadyWritten(const lat_record& record) {
  if (recovered_.empty() || record.time_ns > opened_monotonic_ns_) return false;
  if (recovered_.erase(flow::RecordIdentity::Of(record)) == 0) return false;
  counters_.duplicates.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void AuditFile::ForgetRecovered() {
  absl::flat_hash_set<flow::RecordIdentity>().swap(recovered_);
}

void AuditFile::Add(flow::FlowRecord& record) {
  record.node = options_.node;
  record.boot = options_.boot;
  record.seq = next_seq_++;
  const size_t from = batch_.size();
  encoder_.AppendLine(record, batch_);
  chain_.Seal(batch_, from);
  batch_.push_back('\n');
  Line& line = lines_.emplace_back();
  line.end = batch_.size();
  std::copy(chain_.head().begin(), chain_.head().end(), line.h.begin());
  if (record.event == flow::Event::kLoss) losses_.push_back(record);
}

absl::Status AuditFile::Commit() {
  AddPendingLosses();
  absl::Status status;
  if (batch_records() > 0) {
    status = FollowPath();
    if (status.ok()) status = RotateIfLarge();
    if (status.ok()) status = WriteBatch();
  }
  // Also what an earlier call wrote and could not sync.
  if (status.ok() && unsynced_ && options_.sync != SyncPolicy::kInterval) status = SyncNow();
  if (!status.ok()) return Failed(status);
  Succeeded();
  return absl::OkStatus();
}

absl::Status AuditFile::WriteBatch() {
  if (options_.sync != SyncPolicy::kAlways) return WriteUpTo(batch_.size());
  while (batch_records() > 0) {
    LATTICE_RETURN_IF_ERROR(WriteUpTo(lines_[first_line_].end));
    LATTICE_RETURN_IF_ERROR(SyncNow());
  }
  return absl::OkStatus();
}

// Appends batch_ up to `end`. On error the whole lines that made it are in the file.
absl::Status AuditFile::WriteUpTo(size_t end) {
  if (torn_) LATTICE_RETURN_IF_ERROR(CutBack());
  size_t done = batch_start_;
  absl::Status status;
  while (done < end && status.ok()) {
    absl::StatusOr<size_t> n = file_->Append(absl::string_view(batch_).substr(done, end - done));
    status = n.status();
    if (n.ok()) done += *n;
  }
  Advance(done);
  if (status.ok()) return status;
  torn_ = true;
  if (const absl::Status cut = CutBack(); !cut.ok()) LOG(ERROR) << "audit file: " << cut.message();
  return status;
}

absl::Status AuditFile::CutBack() {
  LATTICE_RETURN_IF_ERROR(file_->Truncate(written_size_));
  torn_ = false;
  unsynced_ = true;
  return absl::OkStatus();
}

// batch_ is in the file up to `end`: moves on by the lines that are whole.
void AuditFile::Advance(size_t end) {
  const size_t first = first_line_;
  const size_t from = batch_start_;
  while (first_line_ < lines_.size() && lines_[first_line_].end <= end) ++first_line_;
  if (first_line_ == first) return;
  const Line& last = lines_[first_line_ - 1];
  batch_start_ = last.end;
  const size_t lines = first_line_ - first;
  const size_t bytes = batch_start_ - from;
  if (segment_.lines == 0) {
    // Numbers in a batch are consecutive but after a hole at Open(), where the file is new.
    segment_.first_seq = next_seq_ - (lines_.size() - first);
    segment_opened_ = clock_.Now();
  }
  written_seq_ = next_seq_ - (lines_.size() - first_line_) - 1;
  written_head_.assign(last.h.begin(), last.h.end());
  newest_ = {.boot = options_.boot, .seq = written_seq_, .h = written_head_, .ts = clock_.Now()};
  written_size_ += static_cast<int64_t>(bytes);
  segment_.last_seq = written_seq_;
  segment_.lines += lines;
  segment_sha_.Update(absl::string_view(batch_).substr(from, bytes));
  unsynced_ = true;
  counters_.written.fetch_add(lines, std::memory_order_relaxed);
  counters_.written_bytes.fetch_add(bytes, std::memory_order_relaxed);
  if (first_line_ < lines_.size()) return;
  batch_.clear();
  lines_.clear();
  losses_.clear();
  batch_start_ = first_line_ = 0;
}

void AuditFile::Succeeded() {
  retry_delay_ = absl::ZeroDuration();
  ForgetParked();
  if (!std::exchange(failing_, false)) return;
  LOG(INFO) << "audit file " << options_.path << ": written again";
  if (options_.on_disk_failing) options_.on_disk_failing(false);
}

absl::Status AuditFile::Failed(const absl::Status& status) {
  counters_.write_failures.fetch_add(1, std::memory_order_relaxed);
  retry_delay_ = std::clamp(2 * retry_delay_, kMinRetryDelay, kMaxRetryDelay);
  if (auto suppressed = failure_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "audit file: " << status.message() << "; "
               << (options_.disk_full == DiskFull::kDrop ? "records are dropped and counted"
                                                         : "records wait in the kernel's tables")
               << " until it can be written: free space or mend the disk (" << *suppressed << " more such failures)";
  }
  if (!std::exchange(failing_, true) && options_.on_disk_failing) options_.on_disk_failing(true);
  const bool drop = options_.disk_full == DiskFull::kDrop;
  if (drop) DropBatch();
  ParkLosses();
  return drop ? absl::OkStatus() : status;
}

absl::Status AuditFile::SyncNow() {
  if (file_ == nullptr) return absl::OkStatus();
  const absl::Status status = file_->Sync();
  synced_at_ns_ = clock_.MonotonicNs();
  if (status.ok()) {
    unsynced_ = false;
    return status;
  }
  counters_.sync_failures.fetch_add(1, std::memory_order_relaxed);
  if (auto suppressed = failure_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "audit file: " << status.message() << "; its newest lines may not survive a power cut ("
               << *suppressed << " more such failures)";
  }
  return status;
}

// Before the file is left: later syncs are of the next one.
absl::Status AuditFile::SyncLeft() {
  if (!unsynced_) return absl::OkStatus();
  const absl::Status synced = SyncNow();  // counted and logged there
  return options_.sync == SyncPolicy::kInterval ? absl::OkStatus() : synced;
}

absl::Status AuditFile::Tick() {
  absl::Status status = FollowPath();
  if (status.ok() && (failing_ || batch_records() > 0 || dropped_ > 0 || !pending_losses_.empty())) status = Commit();
  const int64_t unsynced_ns = clock_.MonotonicNs() - synced_at_ns_;
  if (unsynced_ && absl::Nanoseconds(unsynced_ns) >= options_.sync_interval) status.Update(SyncNow());
  const bool rotate = options_.rotate_after > absl::ZeroDuration() && segment_.lines > 0 &&
                      clock_.Now() - segment_opened_ >= options_.rotate_after;
  if (rotate) status.Update(Rotate());
  if (digests_due_) {
    absl::StatusOr<std::string> previous = EnsureDigests(fs_, options_.path, clock_.Now(), options_.signing_key.get());
    status.Update(previous.status());
    digests_due_ = !previous.ok();
    if (previous.ok()) previous_digest_ = *std::move(previous);
  }
  StoreMark();
  return status;
}

absl::Status AuditFile::Close() {
  const absl::Status written = Commit();
  StoreMark();
  LATTICE_RETURN_IF_ERROR(written);
  absl::Status status = unsynced_ ? SyncNow() : absl::OkStatus();
  if (dropped_ > 0 || !pending_losses_.empty()) {
    status.Update(absl::ResourceExhaustedError(absl::StrCat("records were dropped and ", options_.path,
                                                            " has no room for the loss record",
                                                            losses_safe_ ? ", which the next start writes" : "")));
  }
  return status;
}

absl::StatusOr<std::string> ReadBootId() {
  LATTICE_ASSIGN_OR_RETURN(std::string text, ReadFile("/proc/sys/kernel/random/boot_id"));
  text.erase(std::remove(text.begin(), text.end(), '-'), text.end());
  if (text.size() < 12) return absl::InternalError(absl::StrCat("the kernel's boot id is \"", text, "\""));
  return text.substr(0, 12);
}

}  // namespace lattice::audit
