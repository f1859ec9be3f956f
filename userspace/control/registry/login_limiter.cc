#include "userspace/control/registry/login_limiter.h"

#include <algorithm>

#include "absl/strings/strip.h"
#include "userspace/base/ip.h"

namespace lattice::control {
namespace {

constexpr char kShared[] = "shared";

// What one client can not choose freely: its IPv4 address, or the /64 that a site has.
std::string KeyOf(absl::string_view peer) {
  absl::string_view host = peer.substr(0, peer.rfind(':'));
  if (absl::ConsumePrefix(&host, "[")) absl::ConsumeSuffix(&host, "]");
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(host);
  if (!address.ok()) return kShared;
  return address->is_v4() ? address->ToString() : IpPrefix(*address, 64).ToString();
}

}  // namespace

double LoginLimiter::LevelAt(const Bucket& bucket, absl::Time now) const {
  // A clock that steps back fills nothing.
  const double gained = std::max(0.0, absl::FDivDuration(now - bucket.filled, options_.interval));
  return std::min(options_.burst, bucket.level + gained);
}

LoginLimiter::Bucket& LoginLimiter::Find(const std::string& key, absl::Time now) {
  if (buckets_.size() >= options_.max_addresses && !buckets_.contains(key)) {
    absl::erase_if(buckets_, [&](const auto& entry) {
      return entry.first != kShared && LevelAt(entry.second, now) >= options_.burst;
    });
    if (buckets_.size() >= options_.max_addresses)
      return buckets_.try_emplace(kShared, Bucket{options_.burst, now}).first->second;
  }
  return buckets_.try_emplace(key, Bucket{options_.burst, now}).first->second;
}

absl::Duration LoginLimiter::Admit(absl::string_view peer, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Bucket& bucket = Find(KeyOf(peer), now);
  const double level = LevelAt(bucket, now);
  bucket = {level, now};
  if (level < 1) return (1 - level) * options_.interval;
  bucket.level = level - 1;
  return absl::ZeroDuration();
}

void LoginLimiter::GiveBack(absl::string_view peer, absl::Time now) {
  absl::MutexLock lock(&mutex_);
  Bucket& bucket = Find(KeyOf(peer), now);
  bucket.level = std::min(options_.burst, bucket.level + 1);
}

}  // namespace lattice::control
