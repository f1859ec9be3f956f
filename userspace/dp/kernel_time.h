// One moment on the kernel's two clocks: flow entries count in jiffies, records in nanoseconds.
#ifndef USERSPACE_DP_KERNEL_TIME_H_
#define USERSPACE_DP_KERNEL_TIME_H_

#include <cstdint>

namespace lattice::dp {

struct KernelTime {
  uint64_t monotonic_ns = 0;
  uint64_t jiffies = 0;

  // The pair at a later moment.
  KernelTime At(uint64_t later_monotonic_ns, uint64_t ns_per_jiffy) const {
    if (later_monotonic_ns <= monotonic_ns) return *this;
    return {later_monotonic_ns, jiffies + (later_monotonic_ns - monotonic_ns) / ns_per_jiffy};
  }
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_KERNEL_TIME_H_
