// The length of a jiffy, which BPF programs read for free (bpf_jiffies64) where a
// clock costs 15-35 ns a packet.
#ifndef USERSPACE_DATAPATH_JIFFIES_H_
#define USERSPACE_DATAPATH_JIFFIES_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace lattice::datapath {

// The resolution of CLOCK_MONOTONIC_COARSE is one tick of the kernel (KTIME_LOW_RES == TICK_NSEC,
// kernel/time/posix-timers.c, since 2.6.32): exact, at once and without privilege, where
// /proc/config.gz may be missing and sysconf(_SC_CLK_TCK) is always 100. Any thread.
absl::StatusOr<uint64_t> NsPerJiffy();

// At least 1, so that no timeout becomes "at once" by rounding; rounded up.
uint64_t ToJiffies(absl::Duration duration, uint64_t ns_per_jiffy);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_JIFFIES_H_
