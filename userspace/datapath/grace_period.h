// Waits until every BPF program that runs now has ended.
#ifndef USERSPACE_DATAPATH_GRACE_PERIOD_H_
#define USERSPACE_DATAPATH_GRACE_PERIOD_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::datapath {

// An update of a map of maps returns after an RCU grace period (maybe_wait_bpf_programs in
// kernel/bpf/syscall.c, kernel 4.20), and the period is the whole machine's. So a map of maps of our
// own that no program uses is a clock of grace periods. One takes 5-25 ms. One thread.
class GracePeriod {
 public:
  static absl::StatusOr<GracePeriod> Create();
  absl::Status Wait() const;

 private:
  GracePeriod(UniqueFd outer, UniqueFd inner) : outer_(std::move(outer)), inner_(std::move(inner)) {}
  UniqueFd outer_;
  UniqueFd inner_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_GRACE_PERIOD_H_
