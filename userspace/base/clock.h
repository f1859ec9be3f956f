// Time as a dependency, so that tests hold it in their hand (tests/testing/fake_clock.h).
#ifndef USERSPACE_BASE_CLOCK_H_
#define USERSPACE_BASE_CLOCK_H_

#include <cstdint>

#include "absl/time/time.h"

namespace lattice {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
  // CLOCK_MONOTONIC in nanoseconds: the clock of the BPF programs' time stamps.
  virtual int64_t MonotonicNs() const = 0;
};

// The system's clocks. Any thread.
const Clock& RealClock();

}  // namespace lattice

#endif  // USERSPACE_BASE_CLOCK_H_
