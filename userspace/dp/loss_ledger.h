// How much of what the kernel could not record has been told in loss records.
//
// The kernel's counters outlive the daemon, so "told so far" must too: it is kept among the
// instance's run-time files, like the counters gone when the machine restarts, in a file of one
// line that exists only once there was a loss.
// Recorder's thread, but counts().
#ifndef USERSPACE_DP_LOSS_LEDGER_H_
#define USERSPACE_DP_LOSS_LEDGER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::dp {

class LossLedger {
 public:
  struct Counts {  // told, since the pins were made
    std::atomic<uint64_t> denied_table{0};
    std::atomic<uint64_t> untracked{0};
  };
  struct Loss {
    absl::string_view stage;
    uint64_t count = 0;
    absl::Time from;
    absl::Time to;
  };

  explicit LossLedger(std::string path) : path_(std::move(path)) {}

  // What was told before this daemon. Without `adopted` pins the counters began anew and so does this.
  absl::Status Load(bool adopted, absl::Time now);

  // What the kernel's totals say that has not been told. After the loss records are in the audit file,
  // Told() makes it so.
  std::vector<Loss> Compare(uint64_t denied_table, uint64_t untracked, absl::Time now);
  absl::Status Told();

  const Counts& counts() const { return counts_; }

 private:
  const std::string path_;
  Counts counts_;
  uint64_t seen_denied_table_ = 0;
  uint64_t seen_untracked_ = 0;
  absl::Time seen_at_;  // of the two above
  absl::Time told_at_;  // everything before is told
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_LOSS_LEDGER_H_
