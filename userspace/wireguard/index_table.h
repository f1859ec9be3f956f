// The receiver indices we gave out: a random number of 32 bits for each handshake of ours that waits and each
// session, so that a message finds its peer without a search. One thread.
#ifndef USERSPACE_WIREGUARD_INDEX_TABLE_H_
#define USERSPACE_WIREGUARD_INDEX_TABLE_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "userspace/wireguard/allowed_ips.h"
#include "userspace/wireguard/random.h"

namespace lattice::wireguard {

struct Keypair;

class IndexTable {
 public:
  struct Entry {
    PeerSlot peer = kNoPeer;
    Keypair* keypair = nullptr;  // null: a handshake that we began
  };

  // `random` must outlive this.
  explicit IndexTable(Random& random) : random_(random) {}

  // A new index of `peer`.
  uint32_t Add(PeerSlot peer) {
    uint32_t index = random_.Next32();
    while (!entries_.try_emplace(index, Entry{.peer = peer}).second) index = random_.Next32();
    return index;
  }
  // The handshake of `index` has become a session.
  void SetKeypair(uint32_t index, Keypair* keypair) { entries_[index].keypair = keypair; }
  void Remove(uint32_t index) { entries_.erase(index); }
  // Nobody's entry (kNoPeer) for an index that is not ours.
  Entry Find(uint32_t index) const {
    const auto it = entries_.find(index);
    return it == entries_.end() ? Entry{} : it->second;
  }
  size_t size() const { return entries_.size(); }

 private:
  Random& random_;
  absl::flat_hash_map<uint32_t, Entry> entries_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_INDEX_TABLE_H_
