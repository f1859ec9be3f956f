#include "userspace/netstack/keyed_hash.h"

#include <sodium.h>

#include <cstring>

namespace lattice::netstack {

static_assert(crypto_shorthash_KEYBYTES == 16);

KeyedHash::KeyedHash() {
  randombytes_buf(secret_.data(), secret_.size());
}

uint64_t KeyedHash::Hash(Use use, const FlowKey& flow, uint64_t what) const {
  uint8_t input[sizeof(FlowKey) + 9];
  std::memcpy(input, &flow, sizeof(FlowKey));  // no padding
  std::memcpy(input + sizeof(FlowKey), &what, 8);
  input[sizeof(FlowKey) + 8] = use;
  uint64_t hash;
  crypto_shorthash(reinterpret_cast<uint8_t*>(&hash), input, sizeof(input), secret_.data());
  return hash;
}

uint32_t KeyedHash::InitialSequence(const FlowKey& flow, int64_t now) const {
  return static_cast<uint32_t>(now / (4 * kMicrosecond)) + static_cast<uint32_t>(Hash(kSequence, flow, 0));
}

}  // namespace lattice::netstack
