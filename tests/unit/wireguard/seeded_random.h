// The engine's randomness from a seed.
#ifndef TESTS_UNIT_WIREGUARD_SEEDED_RANDOM_H_
#define TESTS_UNIT_WIREGUARD_SEEDED_RANDOM_H_

#include <random>

#include "userspace/wireguard/random.h"

namespace lattice::wireguard {

class SeededRandom : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : random_(seed) {}
  void Fill(absl::Span<uint8_t> out) override {
    for (uint8_t& byte : out) byte = static_cast<uint8_t>(random_());
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace lattice::wireguard

#endif  // TESTS_UNIT_WIREGUARD_SEEDED_RANDOM_H_
