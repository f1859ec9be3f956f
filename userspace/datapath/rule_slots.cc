#include "userspace/datapath/rule_slots.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "glog/logging.h"

namespace lattice::datapath {
namespace {

// Generations wrap; the later one is less than half of the range ahead.
bool NotBefore(uint32_t generation, uint32_t since) {
  return static_cast<int32_t>(generation - since) >= 0;
}

struct Identity {
  const policy::Rule* rule;
  bool ingress;

  friend bool operator==(const Identity& a, const Identity& b) {
    if (!a.rule->name.empty() || !b.rule->name.empty()) return a.rule->name == b.rule->name;
    return a.ingress == b.ingress && *a.rule == *b.rule;
  }
};

size_t HashOf(const Identity& identity) {
  const policy::Rule& rule = *identity.rule;
  if (!rule.name.empty()) return absl::HashOf(absl::string_view(rule.name));
  const auto& bytes = rule.prefix.address().bytes();
  uint64_t high, low;
  std::memcpy(&high, bytes.data(), sizeof(high));
  std::memcpy(&low, bytes.data() + sizeof(high), sizeof(low));
  size_t ports = 0;
  for (const policy::PortRange& range : rule.ports) ports = absl::HashOf(ports, range.first, range.last);
  return absl::HashOf(high, low, rule.prefix.length128(), rule.prefix.is_v4(), ports, rule.protocols, rule.protocol,
                      rule.deny, identity.ingress);
}

struct IdentityHash {
  size_t operator()(const Identity& identity) const { return HashOf(identity); }
};

Identity RuleAt(const policy::RuleSet& rules, size_t index) {
  const size_t egress = rules.egress.size();
  if (index < egress) return {&rules.egress[index], false};
  return {&rules.ingress[index - egress], true};
}

size_t Count(const policy::RuleSet& rules) {
  return rules.egress.size() + rules.ingress.size();
}

}  // namespace

// A set of slots that hashes and compares their owners, so that no rule is stored twice.
struct RuleSlots::Index {
  struct Hash {
    using is_transparent = void;
    const std::vector<Tenancy>* owners;
    size_t operator()(const Identity& identity) const { return HashOf(identity); }
    size_t operator()(uint32_t slot) const { return HashOf({&(*owners)[slot].rule, (*owners)[slot].ingress}); }
  };
  struct Equal {
    using is_transparent = void;
    const std::vector<Tenancy>* owners;
    Identity Of(uint32_t slot) const { return {&(*owners)[slot].rule, (*owners)[slot].ingress}; }
    bool operator()(uint32_t a, uint32_t b) const { return a == b || Of(a) == Of(b); }
    bool operator()(uint32_t a, const Identity& b) const { return Of(a) == b; }
    bool operator()(const Identity& a, uint32_t b) const { return a == Of(b); }
  };
  explicit Index(const std::vector<Tenancy>* owners) : slots(0, Hash{owners}, Equal{owners}) {}
  absl::flat_hash_set<uint32_t, Hash, Equal> slots;
};

RuleSlots::RuleSlots(uint32_t capacity) : capacity_(capacity), index_(std::make_unique<Index>(&owners_)) {}
RuleSlots::~RuleSlots() = default;

void RuleSlots::Grow(uint32_t slot) {
  if (slot < owners_.size()) return;
  owners_.resize(slot + 1);
  former_.resize(slot + 1);
}

void RuleSlots::Restore(uint32_t slot, policy::Rule rule, bool ingress) {
  CHECK_LT(slot, capacity_);
  Grow(slot);
  owners_[slot] = {.rule = std::move(rule), .ingress = ingress, .taken = true};
  index_->slots.insert(slot);
  if (slot >= next_) next_ = (slot + 1) % capacity_;
}

absl::StatusOr<RuleSlots::Assignment> RuleSlots::Plan(const policy::RuleSet& rules) const {
  const size_t count = Count(rules);
  CHECK_LE(count, capacity_ / 2);
  Assignment plan;
  plan.slots.reserve(count);
  std::vector<bool> kept(owners_.size());
  absl::flat_hash_set<Identity, IdentityHash> fresh;
  uint32_t candidate = next_;
  for (size_t i = 0; i < count; ++i) {
    const Identity identity = RuleAt(rules, i);
    const auto found = index_->slots.find(identity);
    const bool known = found != index_->slots.end();
    if (known ? kept[*found] : !fresh.insert(identity).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("two rules have the name ", policy::RuleName(*identity.rule, identity.ingress)));
    }
    if (known) {
      kept[*found] = true;
      plan.slots.push_back(*found);
      const Tenancy& owner = owners_[*found];
      if (owner.ingress != identity.ingress || owner.rule != *identity.rule) plan.changed.push_back(*found);
      continue;
    }
    // Ends: owners and rules together are at most `capacity_`.
    while (Owner(candidate) != nullptr) candidate = (candidate + 1) % capacity_;
    plan.slots.push_back(candidate);
    plan.fresh.push_back(candidate);
    candidate = (candidate + 1) % capacity_;
  }
  for (uint32_t slot = 0; slot < owners_.size(); ++slot) {
    if (owners_[slot].taken && !kept[slot]) plan.freed.push_back(slot);
  }
  return plan;
}

void RuleSlots::Commit(const Assignment& plan, const policy::RuleSet& rules, uint32_t generation) {
  for (const uint32_t slot : plan.freed) {
    index_->slots.erase(slot);
    former_[slot] = std::move(owners_[slot]);
    owners_[slot] = {};
  }
  if (!plan.slots.empty()) Grow(*std::max_element(plan.slots.begin(), plan.slots.end()));
  for (size_t i = 0; i < plan.slots.size(); ++i) {
    const Identity identity = RuleAt(rules, i);
    const uint32_t slot = plan.slots[i];
    Tenancy& owner = owners_[slot];
    if (owner.taken) {
      // Its identity is the same, so its place in the index too.
      if (!owner.rule.name.empty()) owner.rule = *identity.rule;
      owner.ingress = identity.ingress;
      continue;
    }
    owner = {.rule = *identity.rule, .ingress = identity.ingress, .taken = true, .since = generation};
    index_->slots.insert(slot);
  }
  if (!plan.fresh.empty()) next_ = (plan.fresh.back() + 1) % capacity_;
}

const RuleSlots::Tenancy* RuleSlots::Find(uint32_t slot, uint32_t generation) const {
  if (slot >= owners_.size()) return nullptr;
  for (const Tenancy* tenancy : {&owners_[slot], &former_[slot]}) {
    if (tenancy->taken && NotBefore(generation, tenancy->since)) return tenancy;
  }
  return nullptr;
}

const RuleSlots::Tenancy* RuleSlots::Owner(uint32_t slot) const {
  return slot < owners_.size() && owners_[slot].taken ? &owners_[slot] : nullptr;
}

}  // namespace lattice::datapath
