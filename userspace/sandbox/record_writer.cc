// Theory of operation
//
// Add() only queues. The thread takes a batch, gives it to the audit file and writes it with one Commit(); what comes
// in meanwhile is the next batch. While the file takes no more, its batch stays there, nothing is taken any more, and
// the queue fills up to its bound: records beyond are counted, and told behind those that are queued once there is
// room.
#include "userspace/sandbox/record_writer.h"

#include <glog/logging.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/time/clock.h"
#include "userspace/base/clock.h"

namespace lattice::sandbox {
namespace {

constexpr size_t kBatchRecords = 4096;
constexpr int64_t kTickNs = 1'000'000'000;

int64_t NowNs() {
  return RealClock().MonotonicNs();
}

}  // namespace

std::unique_ptr<RecordWriter> RecordWriter::Create(std::unique_ptr<audit::AuditFile> file, Options options) {
  return absl::WrapUnique(new RecordWriter(std::move(file), std::move(options)));
}

RecordWriter::RecordWriter(std::unique_ptr<audit::AuditFile> file, Options options)
    : file_(std::move(file)), options_(std::move(options)) {}

RecordWriter::~RecordWriter() {
  if (const absl::Status stopped = Stop(absl::ZeroDuration()); !stopped.ok()) {
    LOG(ERROR) << "records are missing in " << file_->path() << ": " << stopped.message();
  }
}

void RecordWriter::Start() {
  thread_ = std::thread([this] { Run(); });
}

void RecordWriter::Add(flow::FlowRecord record) {
  absl::MutexLock lock(&mutex_);
  if (queue_.size() < options_.max_queued && !stopped_) {
    queue_.push_back(std::move(record));
    return;
  }
  if (record.event != flow::Event::kLoss) {
    overflowed_.fetch_add(1, std::memory_order_relaxed);
    return MergeLoss({.stage = flow::kStageDisk, .count = 1, .from = record.ts});
  }
  for (flow::FlowRecord& waiting : loss_records_) {
    if (waiting.stage != record.stage) continue;
    waiting.lost_count += record.lost_count;
    waiting.lost_to = record.lost_to;
    return;
  }
  loss_records_.push_back(std::move(record));
}

void RecordWriter::AddLoss(const audit::Loss& loss) {
  absl::MutexLock lock(&mutex_);
  MergeLoss(loss);
}

void RecordWriter::MergeLoss(const audit::Loss& loss) {
  for (audit::Loss& waiting : losses_) {
    if (waiting.stage != loss.stage || waiting.first_seq != 0 || loss.first_seq != 0) continue;
    waiting.count += loss.count;
    waiting.from = std::min(waiting.from, loss.from);
    return;
  }
  losses_.push_back(loss);
}

void RecordWriter::Reopen() {
  absl::MutexLock lock(&mutex_);
  reopen_ = true;
}

size_t RecordWriter::queued() const {
  absl::MutexLock lock(&mutex_);
  return queue_.size();
}

absl::Status RecordWriter::Stop(absl::Duration deadline) {
  {
    absl::MutexLock lock(&mutex_);
    if (stopping_) return finish_status_;
    stopping_ = true;
    stop_by_ns_ = NowNs() + absl::ToInt64Nanoseconds(deadline);
  }
  if (!thread_.joinable()) Start();  // nothing ran yet: what is queued is written all the same
  thread_.join();
  return finish_status_;
}

bool RecordWriter::HasWork() const {
  if (stopping_ || reopen_) return true;
  return !blocked_ && (!queue_.empty() || !losses_.empty() || !loss_records_.empty());
}

void RecordWriter::Run() {
  int64_t tick_ns = NowNs() + kTickNs, retry_ns = 0;
  bool blocked = false, stopping = false;
  while (!stopping) {
    bool reopen;
    {
      absl::MutexLock lock(&mutex_);
      const int64_t wait_ns = (blocked ? retry_ns : tick_ns) - NowNs();
      mutex_.AwaitWithTimeout(absl::Condition(this, &RecordWriter::HasWork), absl::Nanoseconds(wait_ns));
      reopen = std::exchange(reopen_, false);
      stopping = stopping_;
    }
    if (reopen) {
      const absl::Status reopened = file_->Reopen();
      LOG_IF(ERROR, !reopened.ok()) << "reopening the audit file: " << reopened.message();
    }
    if (blocked && NowNs() < retry_ns) continue;
    blocked = !Write();
    if (blocked) retry_ns = NowNs() + absl::ToInt64Nanoseconds(file_->retry_delay());
    if (blocked || NowNs() < tick_ns) continue;
    tick_ns = NowNs() + kTickNs;
    const absl::Status tick = file_->Tick();
    CountWritten();
    if (tick.ok()) continue;
    if (const auto suppressed = tick_log_.Admit(NowNs())) {
      LOG(WARNING) << "audit file: " << tick.message() << " (" << *suppressed << " more since the last line)";
    }
  }
  Finish();
}

// The batch into the file: that of before, if it is still there, or another. False: the file takes no more.
bool RecordWriter::Write() {
  Take();
  const absl::Status written = file_->Commit();  // which logs
  if (written.ok()) CountWritten();
  absl::MutexLock lock(&mutex_);
  blocked_ = !written.ok();
  return written.ok();
}

void RecordWriter::Take() {
  std::vector<flow::FlowRecord> batch;
  std::vector<audit::Loss> losses;
  {
    absl::MutexLock lock(&mutex_);
    if (blocked_) return;
    const auto end = queue_.begin() + static_cast<ptrdiff_t>(std::min(queue_.size(), kBatchRecords));
    batch.assign(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
    queue_.erase(queue_.begin(), end);
    if (queue_.empty()) {
      for (flow::FlowRecord& loss : std::exchange(loss_records_, {})) batch.push_back(std::move(loss));
      losses.swap(losses_);
    }
  }
  for (flow::FlowRecord& record : batch) file_->Add(record);
  for (const audit::Loss& loss : losses) file_->AddLoss(loss);
}

void RecordWriter::CountWritten() {
  const uint64_t written = file_->counters().written;
  if (written == told_written_) return;
  const uint64_t fresh = written - std::exchange(told_written_, written);
  if (options_.on_written) options_.on_written(fresh, file_->newest());
}

bool RecordWriter::Empty() const {
  absl::MutexLock lock(&mutex_);
  return queue_.empty() && losses_.empty() && loss_records_.empty();
}

// A file that takes records may take as long as it needs; one that takes none has until the deadline.
void RecordWriter::Finish() {
  int64_t stop_by_ns;
  {
    absl::MutexLock lock(&mutex_);
    stop_by_ns = stop_by_ns_;
  }
  bool written = Write();
  while (!written || !Empty()) {
    const absl::Duration left = absl::Nanoseconds(stop_by_ns - NowNs());
    if (!written && left <= absl::ZeroDuration()) break;
    if (!written) absl::SleepFor(std::min(file_->retry_delay(), left));
    written = Write();
  }
  if (!written) GiveUp();
  finish_status_ = file_->Close();
  CountWritten();
  if (!written) finish_status_.Update(absl::ResourceExhaustedError("it took no more until the end"));
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
}

// What is queued is one more loss; AuditFile keeps the news of losses where it can.
void RecordWriter::GiveUp() {
  std::deque<flow::FlowRecord> rest;
  std::vector<audit::Loss> losses;
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    rest.swap(queue_);
    losses.swap(losses_);
    rest.insert(rest.end(), std::make_move_iterator(loss_records_.begin()),
                std::make_move_iterator(loss_records_.end()));
    loss_records_.clear();
  }
  uint64_t lost = 0;
  absl::Time from = absl::InfiniteFuture();
  for (flow::FlowRecord& record : rest) {
    if (record.event == flow::Event::kLoss) {
      file_->Add(record);
    } else {
      ++lost;
      from = std::min(from, record.ts);
    }
  }
  for (const audit::Loss& loss : losses) file_->AddLoss(loss);
  if (lost > 0) file_->AddLoss({.stage = flow::kStageDisk, .count = lost, .from = from});
  file_->GiveUp();
}

}  // namespace lattice::sandbox
