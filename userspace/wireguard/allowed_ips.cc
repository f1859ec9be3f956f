// Theory of operation
//
// A node stands for a prefix and lies below the node of every shorter prefix that contains it; which child it
// is, is told by the first bit after the shorter one. There is a node for each prefix of a peer, and one without
// a peer where two paths part: so each node without a peer has two children, and the pool has fewer than twice
// as many nodes as prefixes.
#include "userspace/wireguard/allowed_ips.h"

#include <algorithm>
#include <array>

#include "absl/numeric/bits.h"

namespace lattice::wireguard {
namespace {

struct Key {
  uint64_t high, low;
};

Key KeyOf(const IpAddress& address, bool v4) {
  if (v4) return {uint64_t{address.v4_host_order()} << 32, 0};
  return {address.high64(), address.low64()};
}

// Leading bits that the two have in common, at most 128.
int CommonBits(Key a, Key b) {
  if (a.high != b.high) return absl::countl_zero(a.high ^ b.high);
  return a.low == b.low ? 128 : 64 + absl::countl_zero(a.low ^ b.low);
}

// Bit `index` (0 is the first) of the key.
int Bit(Key key, int index) {
  const uint64_t word = index < 64 ? key.high : key.low;
  return static_cast<int>(word >> (63 - index % 64) & 1);
}

Key Cut(Key key, int length) {
  const auto mask = [](int bits) { return bits <= 0 ? 0 : bits >= 64 ? ~uint64_t{0} : ~(~uint64_t{0} >> bits); };
  return {key.high & mask(length), key.low & mask(length - 64)};
}

}  // namespace

AllowedIps::Ref AllowedIps::New(uint64_t high, uint64_t low, int length, PeerSlot peer) {
  const Node node{
      .high = high, .low = low, .child = {kNone, kNone}, .peer = peer, .length = static_cast<uint8_t>(length)};
  if (!free_.empty()) {
    const Ref ref = free_.back();
    free_.pop_back();
    nodes_[ref] = node;
    return ref;
  }
  nodes_.push_back(node);
  return static_cast<Ref>(nodes_.size() - 1);
}

void AllowedIps::Free(Ref ref) {
  free_.push_back(ref);
}

void AllowedIps::Insert(const IpPrefix& prefix, PeerSlot peer) {
  const Key key = KeyOf(prefix.address(), prefix.is_v4());
  const int length = prefix.length();
  // Where the ref to the node is: a root or (parent, side). Not a pointer: New() moves the pool.
  Ref parent = kNone;
  int side = 0;
  Ref at = prefix.is_v4() ? root4_ : root6_;
  const auto link = [&](Ref ref) {
    Ref& place = parent != kNone ? nodes_[parent].child[side] : prefix.is_v4() ? root4_ : root6_;
    place = ref;
  };
  while (at != kNone) {
    const Node& node = nodes_[at];
    const int common = std::min(CommonBits(key, {node.high, node.low}), std::min<int>(length, node.length));
    if (common < node.length) {
      // The new prefix contains the node, or both part at `common`.
      const int node_side = Bit({node.high, node.low}, common);
      const Key cut = Cut(key, common);
      const Ref fork = New(cut.high, cut.low, common, common == length ? peer : kNoPeer);
      nodes_[fork].child[node_side] = at;
      if (common != length) {
        const Ref leaf = New(key.high, key.low, length, peer);
        nodes_[fork].child[1 - node_side] = leaf;
      }
      link(fork);
      return;
    }
    if (node.length == length) {
      nodes_[at].peer = peer;
      return;
    }
    parent = at;
    side = Bit(key, node.length);
    at = node.child[side];
  }
  link(New(key.high, key.low, length, peer));
}

void AllowedIps::RemovePeer(PeerSlot peer) {
  root4_ = Without(root4_, peer);
  root6_ = Without(root6_, peer);
}

// The subtree without the peer's prefixes. The depth is at most 129.
AllowedIps::Ref AllowedIps::Without(Ref ref, PeerSlot peer) {
  if (ref == kNone) return kNone;
  for (Ref& child : nodes_[ref].child) child = Without(child, peer);
  Node& node = nodes_[ref];
  if (node.peer == peer) node.peer = kNoPeer;
  if (node.peer != kNoPeer || (node.child[0] != kNone && node.child[1] != kNone)) return ref;
  const Ref only = node.child[0] != kNone ? node.child[0] : node.child[1];
  Free(ref);
  return only;
}

PeerSlot AllowedIps::Find(const IpAddress& address) const {
  const Key key = KeyOf(address, address.is_v4());
  const int bits = address.is_v4() ? 32 : 128;
  PeerSlot found = kNoPeer;
  for (Ref at = address.is_v4() ? root4_ : root6_; at != kNone;) {
    const Node& node = nodes_[at];
    if (CommonBits(key, {node.high, node.low}) < node.length) break;
    if (node.peer != kNoPeer) found = node.peer;
    if (node.length == bits) break;
    at = node.child[Bit(key, node.length)];
  }
  return found;
}

std::vector<IpPrefix> AllowedIps::PrefixesOf(PeerSlot peer) const {
  std::vector<IpPrefix> prefixes;
  Collect(root4_, /*v4=*/true, peer, &prefixes);
  Collect(root6_, /*v4=*/false, peer, &prefixes);
  return prefixes;
}

void AllowedIps::Collect(Ref ref, bool v4, PeerSlot peer, std::vector<IpPrefix>* out) const {
  if (ref == kNone) return;
  const Node& node = nodes_[ref];
  if (node.peer == peer) {
    std::array<uint8_t, 16> bytes;
    for (int i = 0; i < 8; ++i) {
      bytes[i] = static_cast<uint8_t>(node.high >> (56 - 8 * i));
      bytes[8 + i] = static_cast<uint8_t>(node.low >> (56 - 8 * i));
    }
    const IpAddress address =
        v4 ? IpAddress::FromV4(static_cast<uint32_t>(node.high >> 32)) : IpAddress::FromBytes(bytes.data());
    out->emplace_back(address, node.length);
  }
  for (const Ref child : node.child) Collect(child, v4, peer, out);
}

}  // namespace lattice::wireguard
