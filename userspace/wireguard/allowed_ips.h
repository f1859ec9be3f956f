// Cryptokey routing: which peer a prefix belongs to, by the longest match. A path-compressed binary trie per
// family in one pool of nodes; a look-up visits at most one node per distinct length on the way. One thread.
#ifndef USERSPACE_WIREGUARD_ALLOWED_IPS_H_
#define USERSPACE_WIREGUARD_ALLOWED_IPS_H_

#include <cstdint>
#include <vector>

#include "userspace/base/ip.h"

namespace lattice::wireguard {

// The place of a peer in its device.
using PeerSlot = uint32_t;
inline constexpr PeerSlot kNoPeer = UINT32_MAX;

class AllowedIps {
 public:
  // A prefix belongs to one peer: it leaves the one that had it, as with `wg set`.
  void Insert(const IpPrefix& prefix, PeerSlot peer);
  void RemovePeer(PeerSlot peer);
  // kNoPeer when no prefix matches.
  PeerSlot Find(const IpAddress& address) const;
  // The peer's prefixes, in order of address.
  std::vector<IpPrefix> PrefixesOf(PeerSlot peer) const;

 private:
  using Ref = uint32_t;
  static constexpr Ref kNone = UINT32_MAX;
  struct Node {
    uint64_t high, low;  // IPv4 in the upper half of `high`
    Ref child[2];
    PeerSlot peer;  // kNoPeer: only a fork
    uint8_t length;
  };

  Ref New(uint64_t high, uint64_t low, int length, PeerSlot peer);
  void Free(Ref ref);
  Ref Without(Ref ref, PeerSlot peer);
  void Collect(Ref ref, bool v4, PeerSlot peer, std::vector<IpPrefix>* out) const;

  std::vector<Node> nodes_;
  std::vector<Ref> free_;
  Ref root4_ = kNone, root6_ = kNone;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_ALLOWED_IPS_H_
