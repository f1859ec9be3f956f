#include "tests/testing/fake_clock.h"

namespace lattice::testing {

void FakeClock::Advance(absl::Duration d) {
  now_ += d;
  monotonic_ns_ += absl::ToInt64Nanoseconds(d);
}

}  // namespace lattice::testing
