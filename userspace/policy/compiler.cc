// Theory of operation. For each direction and family:
//   1. Rules are sorted by prefix; equal prefixes merge, a stack of the covering ones
//      gives each its parent. A packet's longest match is one of these prefixes, and the
//      rules that cover it are those of the prefix and of all its ancestors.
//   2. Each prefix gets a leaf: a class row (what protocols and ports get) and the slots
//      of the rules that the row names by position. Of covering rules of one shape only
//      the first can ever win. If at most kPositional are left, a row depends only on
//      their shapes in list order, so thousands of prefixes with "443" share one. With
//      more, the prefix is crowded: the inherited rules are named directly and only its
//      own by position, so rows are shared by equal siblings, and no leaf repeats the
//      rules of a crowded ancestor.
//   3. The leaves go into the flat trie, or become LPM entries if that is over budget.
#include "userspace/policy/compiler.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/strings/str_format.h"
#include "glog/logging.h"
#include "userspace/base/status.h"
#include "userspace/policy/address_trie.h"
#include "userspace/policy/class_table.h"
#include "userspace/policy/word_table.h"

namespace lattice::policy {
namespace {

constexpr uint32_t kPositional = 8;
constexpr uint32_t kNoParent = ~uint32_t{0};
constexpr uint32_t kCrowded = ~uint32_t{0};
constexpr uint32_t kV4Depth = 96;
// Node, allocator rounding and its share of intermediate nodes (kernel/bpf/lpm_trie.c):
// as many as entries at worst.
constexpr size_t kLpm4EntryBytes = 128;
constexpr size_t kLpm6EntryBytes = 192;
constexpr size_t kMostWords = size_t{LAT_NODE_PLACE} * LAT_PLACE_WORDS;

// One rule at its place in the order of addresses.
struct Member {
  uint64_t hi;
  uint64_t lo;
  uint32_t length;
  uint32_t rule;
};

bool Before(const Member& a, const Member& b) {
  if (a.hi != b.hi) return a.hi < b.hi;
  if (a.lo != b.lo) return a.lo < b.lo;
  return a.length != b.length ? a.length < b.length : a.rule < b.rule;
}

struct Nested {
  uint32_t parent;
  uint32_t begin;  // its own rules, in members
  uint32_t end;
  // What covers it: counted, in effective from `first` on. kCrowded: not listed.
  uint32_t count;
  uint32_t first;
};

struct Family {
  lat_direction direction;
  bool v6;
  uint32_t default_leaf;
  std::vector<Member> members;
  std::vector<Nested> nested;
  std::vector<TriePrefix> prefixes;  // one for each of nested
};

IpPrefix PrefixOf(const Family& family, const TriePrefix& prefix) {
  if (!family.v6) return IpPrefix(IpAddress::FromV4(static_cast<uint32_t>(prefix.lo)), prefix.length - kV4Depth);
  uint8_t bytes[16];
  for (int i = 0; i < 8; ++i) {
    bytes[i] = static_cast<uint8_t>(prefix.hi >> (56 - 8 * i));
    bytes[8 + i] = static_cast<uint8_t>(prefix.lo >> (56 - 8 * i));
  }
  return IpPrefix(IpAddress::FromBytes(bytes), static_cast<int>(prefix.length));
}

bool Covers(const TriePrefix& outer, const TriePrefix& inner) {
  if (outer.length > inner.length) return false;
  const auto mask = [](int bits) { return bits <= 0 ? 0 : bits >= 64 ? ~uint64_t{0} : ~uint64_t{0} << (64 - bits); };
  const int length = static_cast<int>(outer.length);
  return ((outer.hi ^ inner.hi) & mask(length)) == 0 && ((outer.lo ^ inner.lo) & mask(length - 64)) == 0;
}

class Compiler {
 public:
  Compiler(const RuleSet& rules, absl::Span<const uint32_t> egress_slots, absl::Span<const uint32_t> ingress_slots,
           const CompileOptions& options)
      : rules_{&rules.egress, &rules.ingress},
        slots_{egress_slots, ingress_slots},
        default_allow_{!rules.egress_default_deny, !rules.ingress_default_deny},
        options_(options),
        max_words_(
            std::min(kMostWords, options.memory_bytes / LAT_BLOCK_BYTES * static_cast<size_t>(LAT_BLOCK_WORDS))) {}

  absl::StatusOr<CompiledPolicy> Run(uint32_t generation) {
    for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
      CHECK_EQ(rules_[direction]->size(), slots_[direction].size());
      LATTICE_RETURN_IF_ERROR(Prepare(direction));
    }
    CompiledPolicy policy;
    policy.stats.classes = classes_.rows();
    policy.stats.nodes = classes_.range_nodes();
    for (const Family& family : families_) policy.stats.prefixes += family.prefixes.size();

    const size_t class_words = table_.size();
    lat_policy_header header{.magic = LAT_POLICY_MAGIC, .generation = generation};
    if (options_.force_lpm || !BuildFlat(&header, &policy.stats)) {
      const size_t flat_bytes = table_.bytes();
      table_.CutBack(class_words);
      LATTICE_RETURN_IF_ERROR(BuildLpm(flat_bytes, &header, &policy));
    }
    policy.stats.bytes += table_.bytes();
    header.words = static_cast<uint32_t>(table_.size());
    std::memcpy(&table_[0], &header, sizeof(header));
    policy.words = std::move(table_.words());
    return policy;
  }

 private:
  using Key = absl::InlinedVector<uint32_t, kPositional + 2>;
  using Effective = absl::InlinedVector<uint32_t, kPositional + 1>;

  // Everything of a direction but the address lookup.
  absl::Status Prepare(lat_direction direction) {
    const std::vector<Rule>& rules = *rules_[direction];
    Family v4{.direction = direction, .v6 = false};
    Family v6{.direction = direction, .v6 = true};
    shapes_.clear();
    shapes_.reserve(rules.size());
    for (const Rule& rule : rules) {
      LATTICE_RETURN_IF_ERROR(CheckRule(rule));
      const IpAddress& address = rule.prefix.address();
      (rule.prefix.is_v4() ? v4 : v6)
          .members.push_back({address.high64(), address.low64(), static_cast<uint32_t>(rule.prefix.length128()),
                              static_cast<uint32_t>(shapes_.size())});
      shapes_.push_back(classes_.ShapeOf(rule));
    }
    rows_.clear();
    const uint32_t default_leaf = leaves_.Add(classes_.AddRow({}, default_allow_[direction]), {});
    for (Family* family : {&v4, &v6}) {
      family->default_leaf = default_leaf;
      Nest(family);
      LATTICE_RETURN_IF_ERROR(AddLeaves(family));
      families_.push_back(std::move(*family));
    }
    return absl::OkStatus();
  }

  static void Nest(Family* family) {
    std::vector<Member>& members = family->members;
    std::sort(members.begin(), members.end(), Before);
    family->nested.reserve(members.size());
    family->prefixes.reserve(members.size());
    std::vector<uint32_t> covering;
    for (uint32_t i = 0; i < members.size();) {
      const TriePrefix prefix{members[i].hi, members[i].lo, members[i].length, 0};
      const uint32_t begin = i;
      while (i < members.size() && members[i].hi == prefix.hi && members[i].lo == prefix.lo &&
             members[i].length == prefix.length) {
        ++i;
      }
      while (!covering.empty() && !Covers(family->prefixes[covering.back()], prefix)) covering.pop_back();
      const uint32_t parent = covering.empty() ? kNoParent : covering.back();
      covering.push_back(static_cast<uint32_t>(family->prefixes.size()));
      family->prefixes.push_back(prefix);
      family->nested.push_back({parent, begin, i, kCrowded, 0});
    }
  }

  absl::Status AddLeaves(Family* family) {
    by_parent_rows_.clear();
    effective_.clear();
    effective_.reserve(family->prefixes.size());
    std::vector<uint32_t> slots;
    for (uint32_t i = 0; i < family->prefixes.size(); ++i) {
      slots.clear();
      SetEffective(family, &family->nested[i]);
      const uint32_t row =
          family->nested[i].count != kCrowded ? PositionalRow(*family, i, &slots) : InheritingRow(*family, i, &slots);
      family->prefixes[i].leaf = leaves_.Add(row, slots);
      if (table_.size() + leaves_.total_words() > max_words_) return OverBudget(table_.size() + leaves_.total_words());
    }
    return absl::OkStatus();
  }

  // The rules that cover prefix `i`, in list order.
  static std::vector<uint32_t> CoveringRules(const Family& family, uint32_t i) {
    std::vector<uint32_t> covering;
    for (uint32_t at = i; at != kNoParent; at = family.nested[at].parent) {
      for (uint32_t m = family.nested[at].begin; m < family.nested[at].end; ++m) {
        covering.push_back(family.members[m].rule);
      }
    }
    std::sort(covering.begin(), covering.end());
    return covering;
  }

  // Merges the parent's effective rules with the prefix's own.
  void SetEffective(Family* family, Nested* nested) {
    Effective merged;
    if (nested->parent != kNoParent) {
      const Nested& parent = family->nested[nested->parent];
      if (parent.count == kCrowded) return;
      merged.assign(effective_.begin() + parent.first, effective_.begin() + parent.first + parent.count);
    }
    for (uint32_t m = nested->begin; m < nested->end; ++m) {
      const uint32_t rule = family->members[m].rule;
      const auto same =
          std::find_if(merged.begin(), merged.end(), [&](uint32_t other) { return shapes_[other] == shapes_[rule]; });
      if (same != merged.end() && *same < rule) continue;
      if (same != merged.end()) merged.erase(same);
      if (merged.size() == kPositional) return;
      merged.insert(std::lower_bound(merged.begin(), merged.end(), rule), rule);
    }
    nested->count = static_cast<uint32_t>(merged.size());
    nested->first = static_cast<uint32_t>(effective_.size());
    effective_.insert(effective_.end(), merged.begin(), merged.end());
  }

  uint32_t PositionalRow(const Family& family, uint32_t i, std::vector<uint32_t>* slots) {
    const auto begin = effective_.begin() + family.nested[i].first;
    Effective covering(begin, begin + family.nested[i].count);
    // Where order does not matter, it is by shape: more lists become equal.
    for (size_t end = covering.size(); end > 1; --end) {
      for (size_t at = 1; at < end; ++at) {
        const uint32_t before = shapes_[covering[at - 1]];
        const uint32_t after = shapes_[covering[at]];
        if (before > after && classes_.Commute(before, after)) std::swap(covering[at - 1], covering[at]);
      }
    }
    Key key;
    for (const uint32_t rule : covering) {
      key.push_back(shapes_[rule]);
      slots->push_back(slots_[family.direction][rule]);
    }
    const auto [entry, is_new] = rows_.try_emplace(std::move(key), 0);
    if (is_new) {
      std::vector<ClassTable::Term> terms;
      for (const uint32_t rule : covering) {
        terms.push_back({shapes_[rule], static_cast<uint32_t>(terms.size() + 1)});
      }
      entry->second = classes_.AddRow(terms, default_allow_[family.direction]);
    }
    return entry->second;
  }

  uint32_t InheritingRow(const Family& family, uint32_t i, std::vector<uint32_t>* slots) {
    const Nested& nested = family.nested[i];
    // Parent, and for each own rule its shape and how many inherited rules precede it:
    // together that fixes the whole list.
    Key key = {nested.parent};
    for (uint32_t m = nested.begin; m < nested.end; ++m) {
      const uint32_t rule = family.members[m].rule;
      key.push_back(shapes_[rule]);
      key.push_back(InheritedBefore(family, nested.parent, rule));
      slots->push_back(slots_[family.direction][rule]);
    }
    const auto [entry, is_new] = by_parent_rows_.try_emplace(std::move(key), 0);
    if (is_new) {
      std::vector<ClassTable::Term> terms;
      uint32_t own = nested.begin;
      for (const uint32_t rule : CoveringRules(family, i)) {
        const bool is_own = own < nested.end && family.members[own].rule == rule;
        const uint32_t name =
            is_own ? ++own - nested.begin : LAT_DECISION_DIRECT | (slots_[family.direction][rule] + 1);
        terms.push_back({shapes_[rule], name});
      }
      entry->second = classes_.AddRow(terms, default_allow_[family.direction]);
    }
    return entry->second;
  }

  static uint32_t InheritedBefore(const Family& family, uint32_t parent, uint32_t rule) {
    size_t before = 0;
    for (uint32_t at = parent; at != kNoParent; at = family.nested[at].parent) {
      const auto begin = family.members.begin() + family.nested[at].begin;
      const auto end = family.members.begin() + family.nested[at].end;
      before += std::partition_point(begin, end, [rule](const Member& m) { return m.rule < rule; }) - begin;
    }
    return static_cast<uint32_t>(before);
  }

  // False if the table gets larger than the budget. The build goes on for a while after
  // that, so that the error can say how much is needed.
  bool BuildFlat(lat_policy_header* header, CompileStats* stats) {
    const size_t give_up_words = std::min(kMostWords, 4 * max_words_);
    for (const Family& family : families_) {
      const auto trie = BuildTrie(table_, leaves_, family.prefixes, family.v6, family.default_leaf, give_up_words);
      if (!trie.has_value()) return false;
      (family.v6 ? header->root6 : header->root4)[family.direction] = trie->root;
      header->default_leaf[family.direction] = leaves_.Ref(family.default_leaf);
      stats->nodes += trie->nodes;
    }
    return table_.size() <= max_words_;
  }

  absl::Status BuildLpm(size_t flat_bytes, lat_policy_header* header, CompiledPolicy* policy) {
    size_t entry_bytes = 0;
    for (const Family& family : families_) {
      entry_bytes += family.prefixes.size() * (family.v6 ? kLpm6EntryBytes : kLpm4EntryBytes);
    }
    const size_t needed = WordTable::BytesOf(table_.size() + leaves_.total_words()) + entry_bytes;
    if (needed > options_.memory_bytes) {
      return OverBudgetBytes(options_.force_lpm ? needed : std::min(needed, flat_bytes));
    }
    leaves_.Unplace();
    *header = {.magic = header->magic, .generation = header->generation};
    header->flags = LAT_POLICY_LPM;
    policy->stats.lpm = true;
    policy->stats.bytes = entry_bytes;
    policy->lpm.reserve(policy->stats.prefixes);
    for (const Family& family : families_) {
      const uint32_t leaf = leaves_.Ref(family.default_leaf);
      header->default_leaf[family.direction] = leaf;
      (family.v6 ? header->root6 : header->root4)[family.direction] = leaf;
      for (const TriePrefix& prefix : family.prefixes) {
        policy->lpm.push_back({family.direction, PrefixOf(family, prefix), leaves_.Ref(prefix.leaf)});
      }
    }
    return absl::OkStatus();
  }

  absl::Status OverBudget(size_t words) const { return OverBudgetBytes(WordTable::BytesOf(words)); }

  absl::Status OverBudgetBytes(size_t bytes) const {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "the policy of %d rules needs %d bytes or more of kernel memory, --policy-memory allows %d: raise it, or use "
        "fewer or wider prefixes",
        rules_[LAT_EGRESS]->size() + rules_[LAT_INGRESS]->size(), bytes, options_.memory_bytes));
  }

  const std::array<const std::vector<Rule>*, 2> rules_;
  const std::array<absl::Span<const uint32_t>, 2> slots_;
  const std::array<bool, 2> default_allow_;
  const CompileOptions options_;
  const size_t max_words_;

  WordTable table_;
  ClassTable classes_{table_};
  LeafTable leaves_{table_};
  std::vector<Family> families_;
  // Of the direction, or the direction and family, that is being prepared:
  std::vector<uint32_t> shapes_;     // by rule
  std::vector<uint32_t> effective_;  // rules in list order, of Nested by Nested
  absl::flat_hash_map<Key, uint32_t> rows_;
  absl::flat_hash_map<Key, uint32_t> by_parent_rows_;
};

}  // namespace

absl::StatusOr<CompiledPolicy> Compile(const RuleSet& rules, absl::Span<const uint32_t> egress_slots,
                                       absl::Span<const uint32_t> ingress_slots, uint32_t generation,
                                       const CompileOptions& options) {
  return Compiler(rules, egress_slots, ingress_slots, options).Run(generation);
}

}  // namespace lattice::policy
