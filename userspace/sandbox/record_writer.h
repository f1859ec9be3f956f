// Writes a sandbox's records to its audit file, on a thread of its own, and wakes the publisher.
//
// The promise: what Add() took is in the file in that order, or counted and told in a loss record: the queue is
// bounded, and a disk that takes no more fills it. Stop() writes what is left. Add() from any thread.
#ifndef USERSPACE_SANDBOX_RECORD_WRITER_H_
#define USERSPACE_SANDBOX_RECORD_WRITER_H_

#include <cstddef>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/audit/audit_file.h"
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
  void Add(flow::FlowRecord record);
  void AddLoss(audit::Loss loss);
  void Reopen();  // SIGHUP
  // Writes what is queued and closes the file. An error: after `deadline` it still took no more.
  absl::Status Stop(absl::Duration deadline);

  const audit::AuditFileCounters& counters() const;
  size_t queued() const;

 private:
  // The implementer's.
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_RECORD_WRITER_H_
