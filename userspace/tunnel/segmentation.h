// Segmentation offload undone: a TUN device with vnet headers hands out up to 64 KiB as one packet (TSO, USO) and
// leaves checksums to whoever sends it. Sans-I/O. Any thread.
#ifndef USERSPACE_TUNNEL_SEGMENTATION_H_
#define USERSPACE_TUNNEL_SEGMENTATION_H_

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "userspace/tunnel/vnet_header.h"

namespace lattice::tunnel {

// Calls `sink` with each packet that `packet` stands for by `header` (fields in host order), in order and with right
// checksums. In place: the headers of a segment are written over the end of the one before, so each is valid only
// within its call. False, and no call: header and packet don't fit together, or the kind is unknown.
bool ForEachSegment(const VnetHeader& header, absl::Span<uint8_t> packet,
                    absl::FunctionRef<void(absl::Span<uint8_t>)> sink);

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_SEGMENTATION_H_
