// Where packets leave the stack.
#ifndef USERSPACE_NETSTACK_PACKET_SINK_H_
#define USERSPACE_NETSTACK_PACKET_SINK_H_

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"

namespace lattice::netstack {

// Packets of one flow, in order and all of one length but the last, which may be shorter: what UDP GSO takes. The
// payload is a view of the send ring and holds only during the call: who takes the burst copies (or encrypts) it.
struct PacketBurst {
  size_t count = 1;
  const uint8_t* headers = nullptr;  // one after the other
  size_t header_bytes = 0;           // of one packet
  size_t segment_bytes = 0;          // payload of each packet but the last
  size_t payload_bytes = 0;          // of all
  absl::Span<const iovec> payload;

  size_t PayloadBytes(size_t packet) const {
    return std::min(segment_bytes, payload_bytes - std::min(payload_bytes, packet * segment_bytes));
  }
  size_t PacketBytes(size_t packet) const { return header_bytes + PayloadBytes(packet); }
  // Calls visit(const uint8_t* data, size_t bytes) for the pieces of packet's payload.
  template <typename Visit>
  void VisitPayload(size_t packet, Visit visit) const {
    size_t skip = packet * segment_bytes;
    size_t left = PayloadBytes(packet);
    for (size_t i = 0; left > 0; ++i) {
      if (skip >= payload[i].iov_len) {
        skip -= payload[i].iov_len;
        continue;
      }
      const size_t take = std::min(left, payload[i].iov_len - skip);
      visit(static_cast<const uint8_t*>(payload[i].iov_base) + skip, take);
      left -= take;
      skip = 0;
    }
  }
  // Writes the whole packet; returns its length.
  size_t Copy(size_t packet, uint8_t* out) const;
};

class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // Packets that can be taken now. The stack asks before each burst and hands out no more.
  virtual size_t Room() = 0;
  virtual void Take(const PacketBurst& burst) = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_PACKET_SINK_H_
