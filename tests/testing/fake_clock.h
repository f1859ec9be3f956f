// A clock that stands still until it is told to move.
#ifndef TESTS_TESTING_FAKE_CLOCK_H_
#define TESTS_TESTING_FAKE_CLOCK_H_

#include "userspace/base/clock.h"

namespace lattice::testing {

class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1'770'000'000)) : now_(now) {}
  absl::Time Now() const override { return now_; }
  int64_t MonotonicNs() const override { return monotonic_ns_; }
  // Both clocks move by `d`.
  void Advance(absl::Duration d);
  // Only the wall clock jumps, as NTP or an operator does it.
  void SetWall(absl::Time now) { now_ = now; }

 private:
  absl::Time now_;
  int64_t monotonic_ns_ = 1'000'000'000;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_FAKE_CLOCK_H_
