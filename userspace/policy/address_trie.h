// From nested prefixes to the trie of stride and mask nodes of the word table, and the
// leaves that its refs end in. One thread.
#ifndef USERSPACE_POLICY_ADDRESS_TRIE_H_
#define USERSPACE_POLICY_ADDRESS_TRIE_H_

#include <lattice/policy.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "userspace/policy/word_table.h"

namespace lattice::policy {

// The leaves of all tries of a policy. A leaf gets its place in the word table when the
// first ref to it is written, or moves into the spare words of a mask node.
class LeafTable {
 public:
  // `table` must outlive this.
  explicit LeafTable(WordTable& table) : table_(table) {}

  // A leaf of this class row and rule list. Returns its number.
  uint32_t Add(uint32_t row, absl::Span<const uint32_t> slots);
  // The ref of the leaf, which gets a place if it has none.
  uint32_t Ref(uint32_t leaf);
  // The same; a leaf without a place that fits goes into the `words` at `index`.
  uint32_t RefInto(uint32_t leaf, size_t index, size_t words);
  // Forgets every place, after the table has been cut back.
  void Unplace();
  // Words that leaves take if none is in a mask node.
  size_t total_words() const { return slots_.size() + leaves_.size(); }

 private:
  struct Leaf {
    uint32_t row;
    uint32_t first_slot;  // in slots_
    uint32_t slot_count;
    uint32_t place;  // word index; 0: none
  };
  uint32_t Write(Leaf& leaf, uint32_t place);

  WordTable& table_;
  std::vector<Leaf> leaves_;
  std::vector<uint32_t> slots_;
};

// Both halves in host order; length in the 128-bit form.
struct TriePrefix {
  uint64_t hi;
  uint64_t lo;
  uint32_t length;
  uint32_t leaf;  // number in the LeafTable
};

struct BuiltTrie {
  uint32_t root;
  size_t nodes;
};

// The trie of `prefixes`, which are distinct, of one family, and in order of (hi, lo,
// length). Where none of them matches the walk ends in `default_leaf`. Nothing once
// `table` has more than `max_words`.
std::optional<BuiltTrie> BuildTrie(WordTable& table, LeafTable& leaves, absl::Span<const TriePrefix> prefixes, bool v6,
                                   uint32_t default_leaf, size_t max_words);

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_ADDRESS_TRIE_H_
