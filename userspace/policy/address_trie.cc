// Theory of operation. A task is a run of sorted prefixes that share the first `depth`
// bits (a multiple of 8), the leaf that covers them from outside, and the word where the
// ref of the result goes. It becomes
//   - the covering leaf if the run is empty,
//   - a chain of mask nodes, longest prefix first, for up to LAT_MAX_CHAIN prefixes,
//   - a mask node over whole bytes if they have more bytes in common, or else
//   - a stride node over the next byte, or a wide one over two: shorter prefixes are
//     spread over its slots, longer ones go on as one task per slot.
// Every node but those of the last chain consumes at least one of the 16 bytes, hence
// LAT_MAX_STEPS. Tasks are done first in, first out: nodes near the root lie together at
// the front of the table, in the block that programs reach without a map lookup.
#include "userspace/policy/address_trie.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <iterator>

namespace lattice::policy {
namespace {

constexpr uint32_t kV4Depth = 96;
// A wide node takes 256 KiB: at most 64 bytes a prefix, more for the first stride of a
// trie, which every lookup passes.
constexpr uint32_t kWideFrom = 4096;
constexpr uint32_t kWideFirstFrom = 512;
static_assert(LAT_MAX_STEPS >= 16 + LAT_MAX_CHAIN);

uint64_t MaskOf(int bits) {
  return bits <= 0 ? 0 : bits >= 64 ? ~uint64_t{0} : ~uint64_t{0} << (64 - bits);
}

uint32_t CommonBits(const TriePrefix& a, const TriePrefix& b) {
  if (a.hi != b.hi) return std::countl_zero(a.hi ^ b.hi);
  return 64 + std::countl_zero(a.lo ^ b.lo);
}

// The `count` bits from bit `begin` on, which are in one half.
uint32_t BitsAt(const TriePrefix& prefix, uint32_t begin, uint32_t count) {
  const uint64_t half = begin < 64 ? prefix.hi : prefix.lo;
  return static_cast<uint32_t>(half << begin % 64 >> (64 - count));
}

class Builder {
 public:
  Builder(WordTable& table, LeafTable& leaves, absl::Span<const TriePrefix> prefixes, bool v6)
      : table_(table), leaves_(leaves), prefixes_(prefixes), v6_(v6) {}

  std::optional<BuiltTrie> Build(uint32_t default_leaf, size_t max_words) {
    BuiltTrie built{};
    tasks_.push_back({0, static_cast<uint32_t>(prefixes_.size()), default_leaf, v6_ ? 0 : kV4Depth, kRoot});
    for (size_t next = 0; next < tasks_.size(); ++next) {
      const Task task = tasks_[next];
      const uint32_t ref = Do(task);
      (task.target == kRoot ? built.root : table_[task.target]) = ref;
      if (table_.size() > max_words) return std::nullopt;
    }
    built.nodes = nodes_;
    return built;
  }

 private:
  static constexpr uint32_t kRoot = 0;  // word 0 is the header's, no ref goes there
  struct Task {
    uint32_t begin;
    uint32_t end;
    uint32_t cover;  // leaf
    uint32_t depth;
    uint32_t target;
  };

  uint32_t Do(Task task) {
    while (task.begin < task.end && prefixes_[task.begin].length == task.depth) {
      task.cover = prefixes_[task.begin++].leaf;
    }
    if (task.begin == task.end) return leaves_.Ref(task.cover);
    if (task.end - task.begin <= LAT_MAX_CHAIN) return Chain(task);
    const TriePrefix& first = prefixes_[task.begin];
    const uint32_t common = std::min(CommonBits(first, prefixes_[task.end - 1]), first.length);
    const uint32_t depth = common & ~7u;
    return depth > task.depth ? Skip(task, depth) : Stride(task);
  }

  // A new mask node: its ref, and the word indexes of what is not yet filled.
  struct MaskNode {
    uint32_t ref;
    size_t match;
    size_t miss;
    size_t spare;
    size_t spare_words;
  };
  MaskNode AddMaskNode(const TriePrefix& address, uint32_t bits) {
    ++nodes_;
    return v6_ ? AddMask6(address, static_cast<int>(bits)) : AddMask4(address, static_cast<int>(bits - kV4Depth));
  }

  MaskNode AddMask4(const TriePrefix& address, int length) {
    lat_mask4_node node{};
    node.mask = static_cast<uint32_t>(MaskOf(length) >> 32);
    node.key = static_cast<uint32_t>(address.lo) & node.mask;
    return Fill(table_.AddHalf(), node);
  }

  MaskNode AddMask6(const TriePrefix& address, int length) {
    lat_mask6_node node{};
    node.mask[0] = MaskOf(length);
    node.mask[1] = MaskOf(length - 64);
    node.key[0] = address.hi & node.mask[0];
    node.key[1] = address.lo & node.mask[1];
    return Fill(table_.AddUnit(), node);
  }

  template <typename Node>
  MaskNode Fill(uint32_t place, const Node& node) {
    const size_t word = size_t{place} * LAT_PLACE_WORDS;
    std::memcpy(&table_[word], &node, sizeof(node));
    const size_t refs = word + offsetof(Node, ref) / 4;
    return {LAT_NODE | LAT_NODE_MASK | place, refs, refs + 1, word + offsetof(Node, spare) / 4, std::size(node.spare)};
  }

  uint32_t Chain(const Task& task) {
    std::array<uint32_t, LAT_MAX_CHAIN> order;
    const uint32_t count = task.end - task.begin;
    for (uint32_t i = 0; i < count; ++i) order[i] = task.begin + i;
    std::sort(order.begin(), order.begin() + count,
              [this](uint32_t a, uint32_t b) { return prefixes_[a].length > prefixes_[b].length; });
    uint32_t head = 0;
    size_t target = 0;
    for (uint32_t i = 0; i < count; ++i) {
      const TriePrefix& prefix = prefixes_[order[i]];
      const MaskNode node = AddMaskNode(prefix, prefix.length);
      (i == 0 ? head : table_[target]) = node.ref;
      const uint32_t match = leaves_.RefInto(prefix.leaf, node.spare, node.spare_words);
      table_[node.match] = match;
      target = node.miss;
    }
    const uint32_t cover = leaves_.Ref(task.cover);
    table_[target] = cover;
    return head;
  }

  uint32_t Skip(const Task& task, uint32_t depth) {
    const MaskNode node = AddMaskNode(prefixes_[task.begin], depth);
    tasks_.push_back({task.begin, task.end, task.cover, depth, static_cast<uint32_t>(node.match)});
    const uint32_t cover = leaves_.Ref(task.cover);
    table_[node.miss] = cover;
    return node.ref;
  }

  uint32_t Stride(const Task& task) {
    const uint32_t enough = first_stride_ ? kWideFirstFrom : kWideFrom;
    const bool wide = task.end - task.begin >= enough && task.depth % 64 != 56;
    first_stride_ = false;
    const uint32_t bits = wide ? 16 : 8;
    const uint32_t below = task.depth + bits;
    const uint32_t slots = 1u << bits;
    const uint32_t place = table_.AddUnits(slots / LAT_UNIT_WORDS);
    ++nodes_;
    const uint32_t words = place * LAT_PLACE_WORDS;
    cover_.assign(slots, task.cover);
    for (uint32_t i = task.begin; i < task.end;) {
      const uint32_t slot = BitsAt(prefixes_[i], task.depth, bits);
      if (prefixes_[i].length <= below) {
        // A prefix comes before those inside it, so the innermost one is written last.
        std::fill_n(cover_.begin() + slot, size_t{1} << (below - prefixes_[i].length), prefixes_[i].leaf);
        ++i;
        continue;
      }
      const uint32_t begin = i;
      while (i < task.end && BitsAt(prefixes_[i], task.depth, bits) == slot) ++i;
      tasks_.push_back({begin, i, cover_[slot], below, words + slot});
      cover_[slot] = kGoesOn;
    }
    for (uint32_t slot = 0; slot < slots; ++slot) {
      if (cover_[slot] == kGoesOn) continue;
      const uint32_t ref = leaves_.Ref(cover_[slot]);
      table_[words + slot] = ref;
    }
    const uint32_t shift = (128 - below) / 8;
    return LAT_NODE | (wide ? LAT_NODE_WIDE : LAT_NODE_STRIDE) | shift << LAT_NODE_SHIFT_BIT | place;
  }

  static constexpr uint32_t kGoesOn = ~uint32_t{0};

  WordTable& table_;
  LeafTable& leaves_;
  const absl::Span<const TriePrefix> prefixes_;
  const bool v6_;
  bool first_stride_ = true;
  std::vector<Task> tasks_;
  std::vector<uint32_t> cover_;  // of the slots of a stride: leaf, or kGoesOn
  size_t nodes_ = 0;
};

}  // namespace

uint32_t LeafTable::Add(uint32_t row, absl::Span<const uint32_t> slots) {
  leaves_.push_back({row, static_cast<uint32_t>(slots_.size()), static_cast<uint32_t>(slots.size()), 0});
  slots_.insert(slots_.end(), slots.begin(), slots.end());
  return static_cast<uint32_t>(leaves_.size() - 1);
}

uint32_t LeafTable::Ref(uint32_t leaf) {
  Leaf& entry = leaves_[leaf];
  return entry.place != 0 ? entry.place : Write(entry, table_.AddLeaf(1 + entry.slot_count));
}

uint32_t LeafTable::RefInto(uint32_t leaf, size_t index, size_t words) {
  Leaf& entry = leaves_[leaf];
  if (entry.place != 0 || 1 + entry.slot_count > words) return Ref(leaf);
  return Write(entry, static_cast<uint32_t>(index));
}

uint32_t LeafTable::Write(Leaf& leaf, uint32_t place) {
  leaf.place = place;
  table_[place] = leaf.row;
  for (uint32_t i = 0; i < leaf.slot_count; ++i) table_[place + 1 + i] = slots_[leaf.first_slot + i];
  return place;
}

void LeafTable::Unplace() {
  for (Leaf& leaf : leaves_) leaf.place = 0;
}

std::optional<BuiltTrie> BuildTrie(WordTable& table, LeafTable& leaves, absl::Span<const TriePrefix> prefixes, bool v6,
                                   uint32_t default_leaf, size_t max_words) {
  return Builder(table, leaves, prefixes, v6).Build(default_leaf, max_words);
}

}  // namespace lattice::policy
