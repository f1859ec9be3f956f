// Moves records from the kernel's rings to the audit file, and makes the kernel write
// them: once a second lat_sweep puts into the rings what is due.
//
// The promise: a ring gives space back only after what was in it is in the audit file,
// so a crash loses nothing the kernel held; what the kernel could not hold is counted
// and told in a loss record.
//
// Everything runs on the recorder's own thread, in an EventLoop of its own; the public
// calls only hand over and may come from any thread.
#ifndef USERSPACE_DP_RECORDER_H_
#define USERSPACE_DP_RECORDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/encoder.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/rate_limit.h"
#include "userspace/datapath/datapath.h"
#include "userspace/datapath/ring.h"
#include "userspace/dp/cgroup_names.h"
#include "userspace/dp/kernel_time.h"
#include "userspace/dp/loss_ledger.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::dp {

// A record as it went into the audit file, for those who follow.
struct FollowLine {
  bool denied = false;
  std::string json;
};

struct RecorderOptions {
  std::string agent_id;
  std::string iface;
  lat_mode mode = LAT_MODE_ENFORCE;
  std::string ledger_path;  // see LossLedger
  // Both are called on the recorder's thread.
  std::function<void(uint64_t records, const audit::Head& newest)> on_written;
  std::function<void(std::vector<FollowLine>)> on_lines;  // only while following
};

struct RecorderCounters {
  std::atomic<uint64_t> drained{0};  // kernel records taken from the rings
  std::atomic<uint64_t> sweep_failures{0};
  std::atomic<uint64_t> ring_malformed{0};  // of the two rings, see RingReader
  // CLOCK_MONOTONIC of the start, the last turn or the last pass of a sweep: a stuck disk shows here.
  std::atomic<int64_t> alive_ns{0};
};

class Recorder {
 public:
  // `datapath` must outlive this. Nothing runs before Start().
  static absl::StatusOr<std::unique_ptr<Recorder>> Create(datapath::Datapath& datapath,
                                                          std::unique_ptr<audit::AuditFile> audit,
                                                          RecorderOptions options);
  ~Recorder();

  void Start();
  // Writes what the rings hold, what is due and what denied attempts counted since their last record, closes the
  // file, ends the thread. With `end_all` every flow is ended first. An error: after `deadline` the file still took no
  // more. The kernel keeps the rest; with `end_all` it is counted, and told in a loss record once the file can be
  // written.
  absl::Status Stop(absl::Duration deadline, bool end_all);

  void Add(flow::FlowRecord record);  // a policy record
  void AddLoss(const audit::Loss& loss);
  void Reopen();  // SIGHUP
  void SetFollowing(bool following) { following_ = following; }

  // For the records of the controller. Any thread.
  flow::Context NewContext() const;

  const audit::AuditFileCounters& audit_counters() const { return audit_->counters(); }
  const LossLedger::Counts& lost() const { return ledger_.counts(); }
  const RecorderCounters& counters() const { return counters_; }
  // Of the last sweep; zeros before the first. Any thread.
  KernelTime last_sweep() const;

 private:
  Recorder(datapath::Datapath& datapath, std::unique_ptr<audit::AuditFile> audit, RecorderOptions options);
  absl::Status Prepare();
  absl::Status Listen(bool on);
  bool Drain();
  size_t Take(datapath::RingReader& ring);
  void Follow(const flow::FlowRecord& record);
  bool Write();
  void CountWritten();
  void AfterWrite();
  void Block(const absl::Status& status);
  void Retry();
  void Turn();
  bool Sweep(datapath::SweepKind kind, absl::Time deadline);
  void CountRest();
  void TellLosses();
  void MarkTold();
  void Finish(absl::Time deadline, bool end_all);

  datapath::Datapath& datapath_;
  const std::unique_ptr<audit::AuditFile> audit_;
  const RecorderOptions options_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<datapath::RingReader> flow_ring_;
  std::unique_ptr<datapath::RingReader> denied_ring_;
  CgroupNames cgroups_;
  flow::Context context_;
  const lat_record* current_ = nullptr;  // the record that context_.rule_name is asked about
  std::string rule_name_;
  LossLedger ledger_;
  audit::Encoder encoder_;
  std::vector<FollowLine> lines_;  // of the batch
  std::atomic<bool> following_{false};
  bool blocked_ = false;       // the file takes no more; a retry is due
  bool recovering_ = true;     // the rings have not been empty yet
  bool losses_added_ = false;  // to the audit file, and the ledger does not know yet
  uint64_t told_written_ = 0;
  RateLimit sweep_log_{absl::Seconds(30)};
  absl::Status finish_status_;
  mutable absl::Mutex mutex_;
  KernelTime last_sweep_ ABSL_GUARDED_BY(mutex_);
  RecorderCounters counters_;
  std::thread thread_;
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_RECORDER_H_
