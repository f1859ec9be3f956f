// Vectors of RFCs and paper as text.
#ifndef TESTS_UNIT_WIREGUARD_HEX_H_
#define TESTS_UNIT_WIREGUARD_HEX_H_

#include <algorithm>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"
#include "userspace/wireguard/crypto.h"

namespace lattice::wireguard {

inline std::string FromHex(absl::string_view hex) {
  return absl::HexStringToBytes(hex);
}
inline std::string ToHex(Bytes bytes) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}
inline Bytes AsBytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}
// A key type from 32 bytes of text.
template <typename Key>
Key KeyFromHex(absl::string_view hex) {
  Key key;
  const std::string bytes = FromHex(hex);
  std::copy(bytes.begin(), bytes.end(), key.data());
  return key;
}
inline PublicKey PointFromHex(absl::string_view hex) {
  PublicKey key;
  const std::string bytes = FromHex(hex);
  std::copy(bytes.begin(), bytes.end(), key.bytes.begin());
  return key;
}

}  // namespace lattice::wireguard

#endif  // TESTS_UNIT_WIREGUARD_HEX_H_
