// Numbers that nobody outside can guess, from a secret and a flow (SipHash-2-4 of libsodium). One thread.
#ifndef USERSPACE_NETSTACK_KEYED_HASH_H_
#define USERSPACE_NETSTACK_KEYED_HASH_H_

#include <array>
#include <cstdint>

#include "userspace/netstack/types.h"

namespace lattice::netstack {

class KeyedHash {
 public:
  KeyedHash();  // a random secret
  // RFC 6528: a clock of 4 us plus a hash of the flow.
  uint32_t InitialSequence(const FlowKey& flow, int64_t now) const;
  // RFC 7323 5.4: where the flow's timestamp clock starts.
  uint32_t TimestampOffset(const FlowKey& flow) const { return static_cast<uint32_t>(Hash(kTimestamp, flow, 0)); }
  // RFC 6056 3.3.3: where the search for a port of this destination starts.
  uint32_t PortOffset(const FlowKey& flow) const { return static_cast<uint32_t>(Hash(kPort, flow, 0)); }
  uint32_t Cookie(const FlowKey& flow, uint64_t what) const { return static_cast<uint32_t>(Hash(kCookie, flow, what)); }
  uint32_t Random(const FlowKey& flow) const { return static_cast<uint32_t>(Hash(kRandom, flow, 0)); }

 private:
  enum Use : uint8_t { kSequence, kTimestamp, kPort, kCookie, kRandom };
  uint64_t Hash(Use use, const FlowKey& flow, uint64_t what) const;
  std::array<uint8_t, 16> secret_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_KEYED_HASH_H_
