// Lets the first event of each interval through and counts the rest, so that a
// repeated warning prints what it suppressed. One thread.
//
//   if (auto suppressed = limit.Admit(clock.MonotonicNs())) {
//     LOG(WARNING) << "ring full (" << *suppressed << " more since the last line)";
//   }
#ifndef USERSPACE_BASE_RATE_LIMIT_H_
#define USERSPACE_BASE_RATE_LIMIT_H_

#include <cstdint>
#include <optional>

#include "absl/time/time.h"

namespace lattice {

class RateLimit {
 public:
  explicit RateLimit(absl::Duration interval) : interval_ns_(absl::ToInt64Nanoseconds(interval)) {}
  // Number of events suppressed since the last one let through, or nothing if this one is suppressed too.
  std::optional<uint64_t> Admit(int64_t monotonic_ns);

 private:
  int64_t interval_ns_;
  std::optional<int64_t> last_ns_;
  uint64_t suppressed_ = 0;
};

}  // namespace lattice

#endif  // USERSPACE_BASE_RATE_LIMIT_H_
