// TCP segments and what TSO makes of them, for the tests of this folder.
#ifndef TESTS_UNIT_TUNNEL_TCP_PACKETS_H_
#define TESTS_UNIT_TUNNEL_TCP_PACKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "userspace/tunnel/vnet_header.h"

namespace lattice::tunnel {

using Bytes = std::vector<uint8_t>;

struct TcpSegment {
  bool v4 = true;
  uint16_t source_port = 40000;
  uint32_t seq = 1000;
  uint32_t ack = 77;
  uint16_t window = 500;
  uint8_t flags = 0x10;  // ACK
  uint8_t hops = 64;
  uint16_t id = 7;
  bool dont_fragment = true;
  Bytes options;  // a multiple of 4
  Bytes payload;
};

// With right checksums.
Bytes Packet(const TcpSegment& segment);
// Payload that tells where it belongs.
Bytes Payload(size_t from, size_t bytes);
// The way the kernel hands out `segment` with TSO: the checksum field has the sum of the pseudo header.
VnetHeader TsoHeader(const TcpSegment& segment, uint16_t segment_bytes);
// Whether IP and TCP checksum and the length are right.
bool IsSound(const Bytes& packet);

}  // namespace lattice::tunnel

#endif  // TESTS_UNIT_TUNNEL_TCP_PACKETS_H_
