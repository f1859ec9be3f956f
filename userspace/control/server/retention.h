// Deletes what is older than the retention, a little at a time, and archives it before where that is asked for.
// A thread of its own; counters from any.
#ifndef USERSPACE_CONTROL_SERVER_RETENTION_H_
#define USERSPACE_CONTROL_SERVER_RETENTION_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_store.h"

namespace lattice::control {

struct RetentionOptions {
  absl::Duration keep = absl::Hours(24 * 90);  // zero: nothing is deleted
  std::string archive_dir;                     // empty: none
  absl::Duration period = absl::Minutes(1);
};

// Appends `events` to FOLDER/flows-YYYY-MM-DD.ndjson.zst by the day of each: whole zstd frames, on the disk when it
// returns. After a crash an event may be there twice; eventId tells.
absl::Status ArchiveEvents(const std::string& folder, const std::vector<FlowEvent>& events);

class Retention {
 public:
  Retention(FlowStore& store, RetentionOptions options);
  ~Retention() { Stop(); }
  void Start();
  void Stop();

  uint64_t deleted() const { return deleted_; }
  uint64_t failures() const { return failures_; }

 private:
  void Run();
  void Turn();
  bool Sleep(absl::Duration duration);

  FlowStore& store_;
  const RetentionOptions options_;
  std::atomic<uint64_t> deleted_{0};
  std::atomic<uint64_t> failures_{0};
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_RETENTION_H_
