// Bytes as text and back, hashes, randomness: what tokens and keys are made of. Decoding is strict: one text for one
// value, so that a comparison of texts is one of values. Any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_ENCODING_H_
#define USERSPACE_CONTROL_REGISTRY_ENCODING_H_

#include <cstddef>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lattice::control {

std::string Base64(absl::string_view bytes);     // RFC 4648 4, padded
std::string Base64Url(absl::string_view bytes);  // RFC 4648 5, no padding
// Nothing for blanks, missing or wrong padding, or bits after the last byte.
std::optional<std::string> FromBase64(absl::string_view text);
std::optional<std::string> FromBase64Url(absl::string_view text);

std::string Hex(absl::string_view bytes);  // lower case
std::string Sha256Hex(absl::string_view text);
std::string HmacSha256(absl::string_view key, absl::string_view text);  // 32 bytes

// Of the operating system's generator. Ends the process when there is none: no secret may be made without.
std::string RandomBytes(size_t count);
// Takes a time that depends on the lengths only.
bool ConstantTimeEqual(absl::string_view a, absl::string_view b);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_ENCODING_H_
