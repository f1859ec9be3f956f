// What an AuditFile says of records that are missing. A loss record is a line like any other, so while the
// file takes none the news would live in memory alone: it is parked in a small file elsewhere
// (AuditFileOptions::parked_path), where the next process finds it.
#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/decoder.h"
#include "userspace/base/status.h"

namespace lattice::audit {

flow::FlowRecord AuditFile::MakeRecord(const Loss& loss) const {
  flow::Context context;
  context.agent_id = options_.agent_id;
  context.iface = options_.iface;
  context.mode = options_.mode;
  flow::FlowRecord record = flow::LossRecord(context, clock_, loss.stage, loss.count, loss.from, clock_.Now());
  record.lost_first_seq = loss.first_seq;
  record.lost_last_seq = loss.last_seq;
  if (loss.boot != options_.boot) record.lost_boot = loss.boot;
  return record;
}

void AuditFile::AddLoss(const Loss& loss) {
  counters_.lost.Add(loss.stage, loss.count);
  flow::FlowRecord record = MakeRecord(loss);
  Add(record);
}

// As AddLoss(), for the time before numbers are known.
void AuditFile::PendLoss(const Loss& loss) {
  counters_.lost.Add(loss.stage, loss.count);
  pending_losses_.push_back(MakeRecord(loss));
}

void AuditFile::AddPendingLosses() {
  for (flow::FlowRecord& record : std::exchange(pending_losses_, {})) Add(record);
  if (dropped_ == 0) return;
  flow::FlowRecord record = MakeDropped();
  dropped_ = 0;
  Add(record);
}

flow::FlowRecord AuditFile::MakeDropped() const {
  return MakeRecord({.stage = flow::kStageDisk, .count = dropped_, .from = dropped_from_});
}

void AuditFile::DropBatch() {
  uint64_t dropped = batch_records();
  if (dropped_ == 0) dropped_from_ = clock_.Now();
  for (flow::FlowRecord& loss : std::exchange(losses_, {})) {
    if (loss.seq <= written_seq_) continue;
    --dropped;
    if (loss.stage == flow::kStageDisk) {
      dropped_ += loss.lost_count;
      dropped_from_ = std::min(dropped_from_, loss.lost_from);
    } else {
      pending_losses_.push_back(std::move(loss));
    }
  }
  dropped_ += dropped;
  counters_.lost.Add(flow::kStageDisk, dropped);
  next_seq_ = written_seq_ + 1;
  chain_.Reset(written_head_);
  batch_.clear();
  lines_.clear();
  batch_start_ = first_line_ = 0;
}

void AuditFile::GiveUp() {
  DropBatch();
  ParkLosses();
}

// All loss records that are not in the file.
void AuditFile::ParkLosses() {
  std::vector<flow::FlowRecord> losses = pending_losses_;
  for (const flow::FlowRecord& loss : losses_) {
    if (loss.seq > written_seq_) losses.push_back(loss);
  }
  if (dropped_ > 0) losses.push_back(MakeDropped());
  losses_safe_ = losses.empty();
  if (losses.empty() || options_.parked_path.empty()) return;
  std::string lines;
  for (flow::FlowRecord& loss : losses) {
    loss.node = options_.node;
    loss.boot = options_.boot;
    encoder_.AppendLine(loss, lines);
    lines.push_back('\n');
  }
  const absl::Status stored = fs_.WriteAtomically(options_.parked_path, lines, 0640);
  parked_ = parked_ || stored.ok();
  losses_safe_ = stored.ok();
  if (stored.ok()) return;
  if (auto suppressed = park_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "audit file: a kill now would lose the count of what is lost: " << stored.message() << " ("
               << *suppressed << " more such failures)";
  }
}

// Everything is in the file.
void AuditFile::ForgetParked() {
  losses_safe_ = true;
  if (!parked_) return;
  const absl::Status removed = fs_.Remove(options_.parked_path);
  parked_ = !removed.ok() && !absl::IsNotFound(removed);
  if (!parked_) return;
  if (auto suppressed = park_log_.Admit(clock_.MonotonicNs())) {
    LOG(WARNING) << "audit file: a restart will tell losses again: " << removed.message() << " (" << *suppressed
                 << " more such failures)";
  }
}

// What the process before could not write any more.
absl::Status AuditFile::LoadParked() {
  if (options_.parked_path.empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> lines = fs_.ReadWhole(options_.parked_path);
  if (absl::IsNotFound(lines.status())) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(lines.status());
  parked_ = true;
  for (const absl::string_view line : absl::StrSplit(*lines, '\n', absl::SkipEmpty())) {
    absl::StatusOr<DecodedLine> loss = DecodeLine(line);
    if (loss.ok() && loss->record.event == flow::Event::kLoss) {
      // Who detaches without a daemon knows the interface only.
      if (loss->record.agent_id.empty()) loss->record.agent_id = options_.agent_id;
      pending_losses_.push_back(std::move(loss->record));
    } else {
      LOG(ERROR) << options_.parked_path << " holds a line that is no loss record, which is skipped: " << line;
    }
  }
  return absl::OkStatus();
}

}  // namespace lattice::audit
