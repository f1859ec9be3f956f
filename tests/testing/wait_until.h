// Polls a condition of another process, where no event tells us. Any thread.
#ifndef TESTS_TESTING_WAIT_UNTIL_H_
#define TESTS_TESTING_WAIT_UNTIL_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace lattice::testing {

// True as soon as `condition()` holds, false if it doesn't within `deadline`.
template <typename Condition>
bool WaitUntil(Condition condition, absl::Duration deadline = absl::Seconds(20)) {
  const absl::Time end = absl::Now() + deadline;
  while (!condition()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return true;
}

}  // namespace lattice::testing

#endif  // TESTS_TESTING_WAIT_UNTIL_H_
