// Pieces of JSON text written through a pointer into memory that is known to be large
// enough: the encoder's hot path. Each function returns the end of what it wrote and says
// how much that is at most. Pure functions, any thread.
#ifndef USERSPACE_AUDIT_JSON_TEXT_H_
#define USERSPACE_AUDIT_JSON_TEXT_H_

#include <charconv>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"

namespace lattice::audit {

inline constexpr size_t kMaxNumberText = 20;
inline constexpr size_t kMaxIpText = 39;
inline constexpr size_t kMaxEscapedPerByte = 6;  // \u001f

inline char* PutText(char* out, absl::string_view text) {
  std::memcpy(out, text.data(), text.size());
  return out + text.size();
}

template <typename Number>
char* PutNumber(char* out, Number value) {
  return std::to_chars(out, out + kMaxNumberText, value).ptr;
}

template <typename Number>
char* PutHex(char* out, Number value) {
  return std::to_chars(out, out + kMaxNumberText, value, 16).ptr;
}

// Length of the well-formed UTF-8 sequence at the start of `text`, which begins with a byte
// from 0x80 up; 0 if there is none (Unicode 15, table 3-7).
size_t Utf8Length(absl::string_view text);

char* PutHex8(char* out, uint32_t value);  // always 8 digits

// The inside of a JSON string: kMaxEscapedPerByte * text.size() bytes at most. Every byte that
// is not part of well-formed UTF-8 becomes one U+FFFD.
char* PutEscaped(char* out, absl::string_view text);

// As IpAddress::ToString(): RFC 5952, IPv4-mapped as IPv4. kMaxIpText bytes at most.
char* PutIp(char* out, const IpAddress& address);

// "2026-01-31T12:00:00" of Unix seconds: 19 bytes. Years 1677 to 2262, all that nanoseconds reach.
void PutSecond(char out[19], int64_t unix_seconds);
// ".123456789Z": 11 bytes.
char* PutNanosZ(char* out, uint32_t nanos);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_JSON_TEXT_H_
