#include "userspace/netstack/rtt.h"

#include <cstdlib>

namespace lattice::netstack {
namespace {
// As long as a path is taken for the same one (RFC 8985 6.2 leaves it to us).
constexpr int64_t kMinWindowNs = 300'000'000'000;
}  // namespace

void RttEstimator::Sample(int64_t rtt_ns, int64_t now) {
  rtt_ns = std::max<int64_t>(rtt_ns, 1);
  if (srtt_ns_ == 0) {
    srtt_ns_ = rtt_ns;
    rttvar_ns_ = rtt_ns / 2;
  } else {
    rttvar_ns_ += (std::abs(srtt_ns_ - rtt_ns) - rttvar_ns_) / 4;
    srtt_ns_ = std::max<int64_t>(srtt_ns_ + (rtt_ns - srtt_ns_) / 8, 1);
  }
  if (min_ns_ == 0 || rtt_ns <= min_ns_ || now - min_stamp_ > kMinWindowNs) {
    min_ns_ = rtt_ns;
    min_stamp_ = now;
  }
  backoff_ = 0;
}

int64_t RttEstimator::rto_ns() const {
  // The floor is under the variance, as Linux has it: a path whose RTT is steady and long must not time out at
  // its first hiccup.
  const int64_t base = srtt_ns_ == 0 ? kInitialRtoNs : srtt_ns_ + std::max(4 * rttvar_ns_, min_rto_ns_);
  return std::min(base << backoff_, kMaxRtoNs);
}

}  // namespace lattice::netstack
