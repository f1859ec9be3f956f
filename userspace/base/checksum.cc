#include "userspace/base/checksum.h"

#include <arpa/inet.h>

#include <cstring>

namespace lattice {

// The one's complement sum does not care for the order of bytes nor for the width of its words (RFC 1071 2): words of
// 64 bits are read as they lie and their halves added up, carries and all, in wide registers.
void ChecksumSum::Add(absl::Span<const uint8_t> bytes) {
  const uint8_t* at = bytes.data();
  size_t left = bytes.size();
  uint64_t low = 0;
  uint64_t high = 0;
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    low += static_cast<uint32_t>(word);
    high += word >> 32;
  }
  if (left > 0) {
    uint64_t word = 0;  // padded with zeros
    memcpy(&word, at, left);
    low += static_cast<uint32_t>(word);
    high += word >> 32;
  }
  sum_ += low + high;
}

void ChecksumSum::AddPseudoHeader(absl::Span<const uint8_t> source, absl::Span<const uint8_t> destination,
                                  uint8_t protocol, size_t transport_bytes) {
  Add(source);
  Add(destination);
  sum_ += htonl(static_cast<uint32_t>(transport_bytes));
  sum_ += htonl(protocol);
}

uint16_t ChecksumSum::Folded() const {
  uint64_t sum = (sum_ & 0xffffffff) + (sum_ >> 32);
  sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

}  // namespace lattice
