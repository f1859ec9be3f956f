// TCP sequence numbers. The engine counts in 64 bits that never wrap; only the low 32 are on the wire
// (RFC 9293 3.4). A connection starts above 2^32, so that a number just below its first one is no negative.
#ifndef USERSPACE_NETSTACK_SEQUENCE_H_
#define USERSPACE_NETSTACK_SEQUENCE_H_

#include <cstdint>

namespace lattice::netstack {

using Sequence = uint64_t;

inline Sequence FirstSequence(uint32_t wire) {
  return (uint64_t{1} << 32) + wire;
}

// The number nearest to `reference` whose low half is `wire`: within 2^31 either way.
inline Sequence Expand(uint32_t wire, Sequence reference) {
  return reference + static_cast<uint64_t>(int64_t{static_cast<int32_t>(wire - static_cast<uint32_t>(reference))});
}

inline uint32_t Wire(Sequence sequence) {
  return static_cast<uint32_t>(sequence);
}

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_SEQUENCE_H_
