// The Internet checksum (RFC 1071), over pieces of any length and alignment. Any thread.
#ifndef USERSPACE_BASE_CHECKSUM_H_
#define USERSPACE_BASE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "userspace/base/ip.h"

namespace lattice {

// The ones' complement sum of `bytes` as 16-bit words of the wire, folded to 16 bits, in network byte order as
// a number (the first byte is the high one). An odd last byte counts as the high byte of a word.
uint16_t OnesSum(absl::Span<const uint8_t> bytes);

class Checksum {
 public:
  void Add(absl::Span<const uint8_t> bytes);
  void AddWord(uint16_t word) { sum_ += word; }
  // RFC 9293 3.1, RFC 8200 8.1. An IPv4 address in the form ::ffff:a.b.c.d adds 0xffff, which is zero.
  void AddPseudoHeader(absl::Span<const uint8_t> addresses, uint8_t protocol,
                       size_t length);  // as they lie in a header
  void AddPseudoHeader(const IpAddress& source, const IpAddress& destination, uint8_t protocol, size_t length);
  // The sum itself: what the kernel wants in a field that it is to fill (CHECKSUM_PARTIAL).
  uint16_t Folded() const;
  // What goes into the checksum field; over data that carries its right checksum it is 0.
  uint16_t Finish() const { return static_cast<uint16_t>(~Folded()); }

 private:
  uint64_t sum_ = 0;
  bool odd_ = false;  // the next byte is a low one
};

}  // namespace lattice

#endif  // USERSPACE_BASE_CHECKSUM_H_
