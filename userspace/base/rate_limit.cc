#include "userspace/base/rate_limit.h"

#include <utility>

namespace lattice {

std::optional<uint64_t> RateLimit::Admit(int64_t monotonic_ns) {
  if (last_ns_.has_value() && monotonic_ns - *last_ns_ < interval_ns_) {
    ++suppressed_;
    return std::nullopt;
  }
  last_ns_ = monotonic_ns;
  return std::exchange(suppressed_, 0);
}

}  // namespace lattice
