#include "userspace/netstack/packet_sink.h"

#include <cstring>

namespace lattice::netstack {

size_t PacketBurst::Copy(size_t packet, uint8_t* out) const {
  std::memcpy(out, headers + packet * header_bytes, header_bytes);
  size_t length = header_bytes;
  VisitPayload(packet, [&](const uint8_t* data, size_t bytes) {
    std::memcpy(out + length, data, bytes);
    length += bytes;
  });
  return length;
}

}  // namespace lattice::netstack
