// Randomness as a dependency, so that a simulation repeats from its seed. Everything the engine draws
// comes from here: keys, indices, nonces of cookies, jitter.
#ifndef USERSPACE_WIREGUARD_RANDOM_H_
#define USERSPACE_WIREGUARD_RANDOM_H_

#include <cstdint>

#include "absl/types/span.h"

namespace lattice::wireguard {

class Random {
 public:
  virtual ~Random() = default;
  virtual void Fill(absl::Span<uint8_t> out) = 0;
  uint32_t Next32() {
    uint8_t bytes[4];
    Fill(absl::MakeSpan(bytes));
    return uint32_t{bytes[0]} | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
  }
};

// The system's generator. Any thread.
Random& SystemRandom();

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_RANDOM_H_
