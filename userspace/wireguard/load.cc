#include "userspace/wireguard/load.h"

#include <algorithm>

namespace lattice::wireguard {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kTokenNs = kSecondNs / SourceLimiter::kPerSecond;
constexpr int64_t kFullNs = kTokenNs * SourceLimiter::kBurst;

}  // namespace

bool LoadMeter::Count(int64_t now_ns) {
  const int64_t passed = now_ns - second_began_ns_;
  if (passed >= kSecondNs || in_second_ == 0) {
    last_second_loaded_ = in_second_ > per_second_ && passed < 2 * kSecondNs;
    second_began_ns_ = now_ns;
    in_second_ = 0;
  }
  ++in_second_;
  return in_second_ > per_second_ || last_second_loaded_;
}

bool SourceLimiter::Admit(const IpAddress& source, int64_t now_ns) {
  const std::pair<uint64_t, uint64_t> key(source.high64(), source.is_v4() ? source.low64() : 0);
  auto it = buckets_.find(key);
  if (it == buckets_.end()) {
    if (buckets_.size() >= max_sources_) DropFull(now_ns);
    if (buckets_.size() >= max_sources_) return false;
    it = buckets_.emplace(key, Bucket{.credit_ns = kFullNs, .last_ns = now_ns}).first;
  }
  Bucket& bucket = it->second;
  bucket.credit_ns = std::min(kFullNs, bucket.credit_ns + (now_ns - bucket.last_ns));
  bucket.last_ns = now_ns;
  if (bucket.credit_ns < kTokenNs) return false;
  bucket.credit_ns -= kTokenNs;
  return true;
}

// A bucket that time has filled again is as good as none. At most once in the time that takes: a flood of new
// sources must not walk the table for each.
void SourceLimiter::DropFull(int64_t now_ns) {
  if (now_ns - dropped_at_ns_ < kFullNs) return;
  dropped_at_ns_ = now_ns;
  absl::erase_if(buckets_, [&](const auto& entry) { return entry.second.last_ns + kFullNs <= now_ns; });
}

}  // namespace lattice::wireguard
