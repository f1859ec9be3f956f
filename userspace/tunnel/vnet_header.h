// The header in front of each packet of a TUN device (virtio 1.1, 5.1.6). Not by linux/virtio_net.h: it has a field
// called `class`, which C++ does not take.
#ifndef USERSPACE_TUNNEL_VNET_HEADER_H_
#define USERSPACE_TUNNEL_VNET_HEADER_H_

#include <cstdint>

namespace lattice::tunnel {

struct VnetHeader {
  static constexpr uint8_t kNeedsChecksum = 1;  // of `flags`
  enum Gso : uint8_t { kNone = 0, kTcp4 = 1, kTcp6 = 4, kUdp = 5 };
  static constexpr uint8_t kEcn = 0x80;  // joined to `gso_type`: the segments' first has CWR

  uint8_t flags = 0;
  uint8_t gso_type = kNone;
  // Host order all.
  uint16_t header_bytes = 0;
  uint16_t segment_bytes = 0;  // payload of each segment
  uint16_t checksum_start = 0;
  uint16_t checksum_offset = 0;  // from checksum_start
};
static_assert(sizeof(VnetHeader) == 10);

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_VNET_HEADER_H_
