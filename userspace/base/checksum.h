// The Internet checksum (RFC 1071). Any thread.
//
//   ChecksumSum sum;
//   sum.AddPseudoHeader(source, destination, IPPROTO_TCP, tcp.size());
//   sum.Add(tcp);
//   if (sum.Finish() != 0) …  // a packet with its checksum in place sums up to 0
#ifndef USERSPACE_BASE_CHECKSUM_H_
#define USERSPACE_BASE_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace lattice {

class ChecksumSum {
 public:
  // Only the last piece may have an odd number of bytes.
  void Add(absl::Span<const uint8_t> bytes);
  // RFC 9293 3.1, RFC 8200 8.1: addresses of 4 or of 16 bytes, as they stand in the IP header.
  void AddPseudoHeader(absl::Span<const uint8_t> source, absl::Span<const uint8_t> destination, uint8_t protocol,
                       size_t transport_bytes);

  // The sum itself, folded: what the kernel wants in a checksum field it is to fill (CHECKSUM_PARTIAL).
  // Both are in network byte order: copy them into the packet as they are.
  uint16_t Folded() const;
  uint16_t Finish() const { return static_cast<uint16_t>(~Folded()); }

 private:
  uint64_t sum_ = 0;  // of 32-bit words of the machine's order: 2^32 of them fit
};

}  // namespace lattice

#endif  // USERSPACE_BASE_CHECKSUM_H_
