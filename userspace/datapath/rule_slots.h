// Which rule has which slot: the number that stands for it in tables and records. A rule
// is known by its name, or by all it says where the operator gave none. It keeps its slot, and
// with it its hit counter, as long as every policy has it; a slot that came free is given out
// again as late as possible, and a record older than the slot's owner never gets the owner's name.
//
// Two steps, so that a policy that can't be applied leaves no trace: Plan, then Commit. Both are
// on the way of a swap, so names of 100,000 rules are not printed here but where one is asked for.
// No I/O, no lock: PolicyPublisher holds it.
#ifndef USERSPACE_DATAPATH_RULE_SLOTS_H_
#define USERSPACE_DATAPATH_RULE_SLOTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/policy/rule.h"

namespace lattice::datapath {

class RuleSlots {
 public:
  struct Assignment {
    std::vector<uint32_t> slots;    // one for each rule of the policy: egress, then ingress
    std::vector<uint32_t> fresh;    // of these, the slots that had no owner
    std::vector<uint32_t> changed;  // of these, the slots whose owner says something else now
    std::vector<uint32_t> freed;    // owned before, not in this policy
  };

  struct Tenancy {
    policy::Rule rule;
    bool ingress = false;
    bool taken = false;  // false: nobody, the rest means nothing
    uint32_t since = 0;  // generation
  };

  // Slots are 0 to `capacity` - 1. A policy may have half as many rules.
  explicit RuleSlots(uint32_t capacity);
  ~RuleSlots();

  // An owner found in the pinned map, of unknown age.
  void Restore(uint32_t slot, policy::Rule rule, bool ingress);

  // Slots for `rules`, at most capacity / 2. Changes nothing. InvalidArgument: a rule is in it twice.
  absl::StatusOr<Assignment> Plan(const policy::RuleSet& rules) const;
  // The plan of the same `rules` becomes the state, with `generation` as the first of its new owners.
  void Commit(const Assignment& plan, const policy::RuleSet& rules, uint32_t generation);

  // Who had `slot` when `generation` was in force; null: nobody, or forgotten.
  const Tenancy* Find(uint32_t slot, uint32_t generation) const;
  // The present owner, null: none.
  const Tenancy* Owner(uint32_t slot) const;

 private:
  struct Index;  // slots by the identity of their owners

  void Grow(uint32_t slot);

  const uint32_t capacity_;
  uint32_t next_ = 0;  // where the search for a free slot goes on
  std::vector<Tenancy> owners_;
  std::vector<Tenancy> former_;  // the owner before, also of a slot that is free now
  std::unique_ptr<Index> index_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_RULE_SLOTS_H_
