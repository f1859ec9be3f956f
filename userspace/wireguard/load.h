// When handshakes come faster than they can be worked off: the measure that turns cookies on, and the limit per
// source of those that hold one (paper 5.3). Time is given. One thread.
#ifndef USERSPACE_WIREGUARD_LOAD_H_
#define USERSPACE_WIREGUARD_LOAD_H_

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/ip.h"

namespace lattice::wireguard {

// Under load from the message that exceeds `per_second` within a second until a whole second stayed below.
class LoadMeter {
 public:
  // 0: under load from the first message, always.
  explicit LoadMeter(uint32_t per_second) : per_second_(per_second) {}
  // Counts a handshake message; whether it is to be handled as under load.
  bool Count(int64_t now_ns);

 private:
  const uint32_t per_second_;
  int64_t second_began_ns_ = 0;
  uint32_t in_second_ = 0;
  bool last_second_loaded_ = false;
};

// A bucket of kBurst tokens per source, refilled with kPerSecond, for an IPv4 address or an IPv6 /64. At most
// `max_sources` are remembered; when all of them are active a new source is refused.
class SourceLimiter {
 public:
  static constexpr int64_t kPerSecond = 20;
  static constexpr int64_t kBurst = 5;

  explicit SourceLimiter(size_t max_sources) : max_sources_(max_sources) {}
  bool Admit(const IpAddress& source, int64_t now_ns);
  size_t sources() const { return buckets_.size(); }

 private:
  struct Bucket {
    int64_t credit_ns;
    int64_t last_ns;
  };
  void DropFull(int64_t now_ns);

  const size_t max_sources_;
  int64_t dropped_at_ns_ = 0;
  absl::flat_hash_map<std::pair<uint64_t, uint64_t>, Bucket> buckets_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_LOAD_H_
