// The three kinds of 32-byte keys a configuration has, and their text: 44 characters of base64, read
// strictly (no white space, no other alphabet, no bits beyond the 256). Any thread.
#ifndef USERSPACE_WIREGUARD_KEY_H_
#define USERSPACE_WIREGUARD_KEY_H_

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/wireguard/secret.h"

namespace lattice::wireguard {

inline constexpr size_t kKeyBytes = 32;

// A point of Curve25519; the name of a peer.
struct PublicKey {
  std::array<uint8_t, kKeyBytes> bytes{};

  static absl::StatusOr<PublicKey> Parse(absl::string_view base64);
  std::string ToString() const;

  auto operator<=>(const PublicKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const PublicKey& key) {
    return H::combine(std::move(state), key.bytes);
  }
};

struct PrivateKey : SecretBytes<kKeyBytes> {
  // Also for a key that is not clamped: X25519 does that itself.
  static absl::StatusOr<PrivateKey> Parse(absl::string_view base64);
};

// All zero: none, as the protocol has it.
struct PresharedKey : SecretBytes<kKeyBytes> {
  static absl::StatusOr<PresharedKey> Parse(absl::string_view base64);
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_KEY_H_
