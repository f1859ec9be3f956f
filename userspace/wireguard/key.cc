#include "userspace/wireguard/key.h"

#include "absl/strings/escaping.h"

namespace lattice::wireguard {
namespace {

constexpr size_t kTextBytes = 44;

// The six bits of `c`, or -1. Not by a table: where it looks would depend on a secret.
int SixBits(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

// Straight into `out`, so that no copy of a secret is left behind.
bool Decode(absl::string_view text, uint8_t* out) {
  if (text.size() != kTextBytes || text.back() != '=') return false;
  uint32_t bits = 0;
  int count = 0;
  size_t written = 0;
  for (const char c : text.substr(0, kTextBytes - 1)) {
    const int six = SixBits(c);
    if (six < 0) return false;
    bits = bits << 6 | static_cast<uint32_t>(six);
    count += 6;
    if (count >= 8) {
      count -= 8;
      out[written++] = static_cast<uint8_t>(bits >> count);
      bits &= (1u << count) - 1;
    }
  }
  return written == kKeyBytes && bits == 0;
}

// The text is not in the message: it may be a secret with one wrong character.
absl::Status NotAKey() {
  return absl::InvalidArgumentError(
      "not a key: expected 44 characters of base64 that end with '=', as `wg genkey` prints them");
}

}  // namespace

absl::StatusOr<PublicKey> PublicKey::Parse(absl::string_view base64) {
  PublicKey key;
  if (!Decode(base64, key.bytes.data())) return NotAKey();
  return key;
}

std::string PublicKey::ToString() const {
  return absl::Base64Escape(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

absl::StatusOr<PrivateKey> PrivateKey::Parse(absl::string_view base64) {
  PrivateKey key;
  if (!Decode(base64, key.data())) return NotAKey();
  return key;
}

absl::StatusOr<PresharedKey> PresharedKey::Parse(absl::string_view base64) {
  PresharedKey key;
  if (!Decode(base64, key.data())) return NotAKey();
  return key;
}

}  // namespace lattice::wireguard
