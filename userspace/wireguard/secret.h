// Bytes that are overwritten when they go: private keys, session keys, shared secrets. Copies are
// made only where a key changes hands; each copy cleans up after itself. Any thread.
#ifndef USERSPACE_WIREGUARD_SECRET_H_
#define USERSPACE_WIREGUARD_SECRET_H_

#include <sodium.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace lattice::wireguard {

template <size_t N>
class SecretBytes {
 public:
  SecretBytes() : bytes_{} {}
  SecretBytes(const SecretBytes&) = default;
  SecretBytes& operator=(const SecretBytes&) = default;
  ~SecretBytes() { Clear(); }

  void Clear() { sodium_memzero(bytes_.data(), N); }
  uint8_t* data() { return bytes_.data(); }
  const uint8_t* data() const { return bytes_.data(); }
  static constexpr size_t size() { return N; }
  bool is_zero() const { return sodium_is_zero(bytes_.data(), N) == 1; }
  // In constant time.
  bool operator==(const SecretBytes& other) const { return sodium_memcmp(bytes_.data(), other.data(), N) == 0; }

 private:
  std::array<uint8_t, N> bytes_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_SECRET_H_
