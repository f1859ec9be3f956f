// Writes a sandbox's records to its audit file, on a thread of its own, and wakes the publisher.
//
// The promise: what Add() took is in the file in that order, or counted and told in a loss record: the queue is
// bounded, and a disk that takes no more fills it. Stop() writes what is left. All but Start() and Stop() from any
// thread.
#ifndef USERSPACE_SANDBOX_RECORD_WRITER_H_
#define USERSPACE_SANDBOX_RECORD_WRITER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/audit_file.h"
#include "userspace/base/rate_limit.h"
#include "userspace/flow/record.h"

namespace lattice::sandbox {

class RecordWriter {
 public:
  struct Options {
    size_t max_queued = 65536;  // records
    // After each good Commit(), on the writer's thread.
    std::function<void(uint64_t records, const audit::Head& newest)> on_written;
  };

  // Nothing runs before Start().
  static std::unique_ptr<RecordWriter> Create(std::unique_ptr<audit::AuditFile> file, Options options);
  ~RecordWriter();  // Stop(0)

  void Start();
  // A loss record is never lost itself: where the queue is full, one that waits takes its number.
  void Add(flow::FlowRecord record);
  // `loss.stage` is one of audit::LossCounters::kStages. After what is queued.
  void AddLoss(const audit::Loss& loss);
  void Reopen();  // SIGHUP
  // Writes what is queued, closes the file and ends the thread. An error: after `deadline` it still took no more; what
  // was left is counted, and told by the next start where AuditFileOptions::parked_path is. Once.
  absl::Status Stop(absl::Duration deadline);

  const audit::AuditFileCounters& counters() const { return file_->counters(); }
  // Records that found the queue full, or came after Stop().
  uint64_t overflowed() const { return overflowed_.load(std::memory_order_relaxed); }
  size_t queued() const;

 private:
  RecordWriter(std::unique_ptr<audit::AuditFile> file, Options options);
  void Run();
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Write();
  void Take();
  bool Empty() const;
  void CountWritten();
  void Finish();
  void GiveUp();
  void MergeLoss(const audit::Loss& loss) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::unique_ptr<audit::AuditFile> file_;  // the thread's
  const Options options_;
  std::atomic<uint64_t> overflowed_{0};
  uint64_t told_written_ = 0;
  RateLimit tick_log_{absl::Seconds(60)};
  absl::Status finish_status_;
  std::thread thread_;

  mutable absl::Mutex mutex_;
  std::deque<flow::FlowRecord> queue_ ABSL_GUARDED_BY(mutex_);
  // They come after what is queued: one for each stage, so that these need no bound.
  std::vector<audit::Loss> losses_ ABSL_GUARDED_BY(mutex_);
  std::vector<flow::FlowRecord> loss_records_ ABSL_GUARDED_BY(mutex_);
  bool blocked_ ABSL_GUARDED_BY(mutex_) = false;  // the file took no more: its batch waits for the next try
  bool reopen_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t stop_by_ns_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_RECORD_WRITER_H_
