// Theory of operation.
//
// The tables of generation G hang in slot G & 1 of the outer maps. Publish(G + 1) fills new inner
// maps, hangs them into the other slot, and stores info.generation: the one store that makes every
// program started from then on judge by the new tables. A program that read G just before goes on with
// the old slot, so that is left alone until Settle has seen a grace period pass after the store; only
// then may the slot be emptied, or be filled by Publish(G + 2). Hence: Settle between two Publish.
//
// The text of rules in the map `rules` serves operators and the next daemon, not enforcement. It is
// written in Settle, because a hash of 100,000 texts takes longer to change than the policy itself.
// After a crash in between, the map describes the policy before: the next daemon gives new slots to
// the rules it doesn't find and can't name the slots of that one generation.
#include "userspace/datapath/policy_publisher.h"

#include <bpf/bpf.h>
#include <lattice/abi.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/policy_tables.h"
#include "userspace/datapath/table_scan.h"
#include "userspace/policy/compiler.h"

namespace lattice::datapath {
namespace {

constexpr size_t kHitsPortion = 256;

RuleLabel LabelOf(const policy::Rule& rule, bool ingress) {
  if (rule.name.empty()) {
    const std::string text = policy::RuleName(rule, ingress);
    return {text, text};
  }
  policy::Rule unnamed = rule;
  unnamed.name.clear();
  return {rule.name, policy::RuleName(unnamed, ingress)};
}

RuleLabel LabelOf(const RuleSlots::Tenancy* tenancy) {
  return tenancy == nullptr ? RuleLabel() : LabelOf(tenancy->rule, tenancy->ingress);
}

template <size_t N>
void CopyText(const std::string& text, char (&out)[N]) {
  std::memset(out, 0, N);
  text.copy(out, N - 1);
}

lat_rule_text TextOf(const RuleLabel& label) {
  lat_rule_text text;
  CopyText(label.name == label.text ? "" : label.name, text.name);
  CopyText(label.text, text.text);
  return text;
}

struct PinnedRule {
  policy::Rule rule;
  bool ingress;
};

// The rule behind a text of the map. One that can't be read back (the map cuts a long list of ports)
// gets its text as its name: records of it keep a name, and no new rule is taken for it.
PinnedRule RuleOf(const lat_rule_text& pinned) {
  const absl::string_view name(pinned.name, strnlen(pinned.name, sizeof(pinned.name)));
  const absl::string_view text(pinned.text, strnlen(pinned.text, sizeof(pinned.text)));
  absl::string_view rest = text;
  PinnedRule result;
  result.ingress = absl::ConsumePrefix(&rest, "ingress ");
  const bool deny = absl::ConsumePrefix(&rest, "deny ");
  absl::StatusOr<policy::Rule> rule = policy::ParseRule(rest, nullptr);
  if (rule.ok()) {
    result.rule = *std::move(rule);
    result.rule.deny = deny;
  }
  result.rule.name = std::string(name.empty() && !rule.ok() ? text : name);
  return result;
}

// That names differ is Plan's to see where rules have none, which saves printing all of them.
absl::Status CheckRules(const policy::RuleSet& rules) {
  const auto is_named = [](const policy::Rule& rule) { return !rule.name.empty(); };
  if (std::any_of(rules.egress.begin(), rules.egress.end(), is_named) ||
      std::any_of(rules.ingress.begin(), rules.ingress.end(), is_named)) {
    LATTICE_RETURN_IF_ERROR(policy::CheckRuleSet(rules));
  }
  const size_t count = rules.egress.size() + rules.ingress.size();
  if (count <= LAT_MAX_RULES) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrFormat("the policy has %d rules, %d are possible: merge prefixes or ports", count, LAT_MAX_RULES));
}

}  // namespace

absl::StatusOr<std::unique_ptr<PolicyPublisher>> PolicyPublisher::Create(const Programs& programs,
                                                                         const Options& options) {
  LATTICE_ASSIGN_OR_RETURN(GracePeriod grace, GracePeriod::Create());
  auto publisher = absl::WrapUnique(new PolicyPublisher(programs, options, std::move(grace)));
  LATTICE_RETURN_IF_ERROR(publisher->RestoreSlots());
  return publisher;
}

absl::Status PolicyPublisher::RestoreSlots() {
  absl::MutexLock lock(&mutex_);
  return ScanHash<uint32_t, lat_rule_text>(programs_.maps().rules, [&](uint32_t slot, const lat_rule_text& text) {
    mutex_.AssertHeld();
    PinnedRule pinned = RuleOf(text);
    slots_.Restore(slot, std::move(pinned.rule), pinned.ingress);
    return true;
  });
}

absl::StatusOr<Receipt> PolicyPublisher::Publish(const policy::RuleSet& rules) {
  const int64_t start_ns = RealClock().MonotonicNs();
  LATTICE_RETURN_IF_ERROR(CheckRules(rules));
  LATTICE_RETURN_IF_ERROR(Settle());

  RuleSlots::Assignment plan;
  {
    absl::MutexLock lock(&mutex_);
    LATTICE_ASSIGN_OR_RETURN(plan, slots_.Plan(rules));
  }
  lat_info* info = programs_.info();
  uint32_t generation = info->generation + 1;
  // 0 means that there is no policy; 2 keeps the slots alternating.
  if (generation == 0) generation = 2;
  const absl::Span<const uint32_t> slots = plan.slots;
  LATTICE_ASSIGN_OR_RETURN(const policy::CompiledPolicy compiled,
                           policy::Compile(rules, slots.first(rules.egress.size()), slots.subspan(rules.egress.size()),
                                           generation, {.memory_bytes = memory_bytes_, .force_lpm = force_lpm_}));
  LATTICE_ASSIGN_OR_RETURN(const PolicyTables tables, PolicyTables::Build(compiled));
  for (const uint32_t slot : plan.fresh) programs_.rule_hits()[slot] = 0;
  Receipt receipt{.generation = generation,
                  .rules = rules.egress.size() + rules.ingress.size(),
                  .prefixes = compiled.stats.prefixes,
                  .bytes = compiled.stats.bytes,
                  .lookup = compiled.stats.lookup()};
  settled_ = false;
  LATTICE_RETURN_IF_ERROR(tables.Install(programs_.maps(), generation));

  // From here nothing fails. The store is under the lock, so that who asks for the rule of a record of the
  // new generation waits until the names are there.
  {
    absl::MutexLock lock(&mutex_);
    __atomic_store_n(&info->generation, generation, __ATOMIC_RELEASE);
    receipt.apply_ms = static_cast<double>(RealClock().MonotonicNs() - start_ns) / 1e6;
    slots_.Commit(plan, rules, generation);
    order_ = plan.slots;
  }
  for (const auto& changed : {plan.fresh, plan.changed, plan.freed}) {
    stale_texts_.insert(stale_texts_.end(), changed.begin(), changed.end());
  }
  receipt.hash = policy::Hash(rules);
  info->rules = static_cast<lat_u32>(receipt.rules);
  CopyText(receipt.hash, info->policy_hash);
  return receipt;
}

absl::Status PolicyPublisher::Settle() {
  if (settled_) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(grace_.Wait());
  LATTICE_RETURN_IF_ERROR(RemovePolicyTables(programs_.maps(), programs_.info()->generation + 1));
  LATTICE_RETURN_IF_ERROR(WriteTexts());
  settled_ = true;
  return absl::OkStatus();
}

absl::Status PolicyPublisher::WriteTexts() {
  std::vector<uint32_t> written, removed;
  std::vector<lat_rule_text> texts;
  {
    absl::MutexLock lock(&mutex_);
    for (const uint32_t slot : stale_texts_) {
      const RuleSlots::Tenancy* owner = slots_.Owner(slot);
      if (owner == nullptr) {
        removed.push_back(slot);
        continue;
      }
      written.push_back(slot);
      texts.push_back(TextOf(LabelOf(owner)));
    }
  }
  const int map = programs_.maps().rules;
  for (size_t i = 0; i < written.size(); ++i) {
    if (bpf_map_update_elem(map, &written[i], &texts[i], BPF_ANY) != 0) {
      return BpfError(errno, "writing the text of a rule");
    }
  }
  for (const uint32_t slot : removed) {
    if (bpf_map_delete_elem(map, &slot) != 0 && errno != ENOENT) {
      return BpfError(errno, "removing the text of a rule");
    }
  }
  stale_texts_.clear();
  return absl::OkStatus();
}

RuleLabel PolicyPublisher::Rule(uint32_t rule, uint32_t generation) const {
  if (rule == 0) return {};
  absl::MutexLock lock(&mutex_);
  return LabelOf(slots_.Find(rule - 1, generation));
}

std::vector<RuleHits> PolicyPublisher::Hits() const {
  const absl::Span<const lat_u64> hits = programs_.rule_hits();
  std::vector<uint32_t> order;
  {
    absl::MutexLock lock(&mutex_);
    order = order_;
  }
  std::vector<RuleHits> result;
  result.reserve(order.size());
  // In portions: the recorder asks for the rule of each record meanwhile, and texts of 100,000 rules take long.
  for (size_t next = 0; next < order.size();) {
    absl::MutexLock lock(&mutex_);
    for (const size_t end = std::min(order.size(), next + kHitsPortion); next < end; ++next) {
      RuleLabel label = LabelOf(slots_.Owner(order[next]));
      result.push_back(
          {std::move(label.name), std::move(label.text), __atomic_load_n(&hits[order[next]], __ATOMIC_RELAXED)});
    }
  }
  return result;
}

}  // namespace lattice::datapath
