#include "userspace/dp/policy_control.h"

#include <glog/logging.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"
#include "userspace/flow/from_kernel.h"
#include "userspace/policy/compiler.h"

namespace lattice::dp {
namespace {

constexpr absl::Duration kRetry = absl::Seconds(1);

}  // namespace

absl::StatusOr<CheckReport> CheckPolicy(const LoadedPolicy& policy, uint64_t memory_bytes) {
  const policy::RuleSet& rules = policy.rules;
  if (rules.egress.size() + rules.ingress.size() > LAT_MAX_RULES) {
    return absl::ResourceExhaustedError(
        absl::StrCat(rules.egress.size() + rules.ingress.size(), " rules; at most ", LAT_MAX_RULES, " are possible"));
  }
  std::vector<uint32_t> slots(rules.egress.size() + rules.ingress.size());
  std::iota(slots.begin(), slots.end(), 0u);
  const absl::Span<const uint32_t> all(slots);
  LATTICE_ASSIGN_OR_RETURN(const policy::CompiledPolicy compiled,
                           policy::Compile(rules, all.first(rules.egress.size()), all.subspan(rules.egress.size()),
                                           /*generation=*/1, {.memory_bytes = memory_bytes}));
  CheckReport report;
  report.egress_rules = rules.egress.size();
  report.ingress_rules = rules.ingress.size();
  report.hash = policy::Hash(rules);
  report.prefixes = compiled.stats.prefixes;
  report.bytes = compiled.stats.bytes;
  report.lookup = compiled.stats.lookup();
  report.warnings = policy.warnings;
  return report;
}

void LogWarnings(const LoadedPolicy& policy) {
  constexpr size_t kMostWarnings = 10;  // `lattice dp policy check` has all
  const size_t count = policy.warnings.size();
  for (size_t i = 0; i < std::min(count, kMostWarnings); ++i) LOG(WARNING) << "policy: " << policy.warnings[i];
  if (count > kMostWarnings) LOG(WARNING) << "policy: and " << count - kMostWarnings << " more such warnings";
  if (policy.rules.egress.empty() && policy.rules.egress_default_deny) {
    LOG(WARNING)
        << "policy: no egress rule: everything but replies is denied; --egress-allow or --policy-file opens it";
  }
}

absl::Status PolicyControl::Reload() {
  auto policy = source_.Load();
  absl::Status status = policy.status();
  if (status.ok()) status = Apply(*std::move(policy));
  if (!status.ok()) {
    metrics_.PolicyRefused();
    LOG(ERROR) << "the reload changes nothing, the policy before stays in force: " << status.message();
  }
  return status;
}

absl::StatusOr<datapath::Receipt> PolicyControl::ApplyText(absl::string_view text, const std::string& name,
                                                           std::vector<std::string>* warnings) {
  auto policy = source_.FromText(text, name);
  absl::Status status = policy.status();
  if (status.ok()) {
    *warnings = policy->warnings;
    status = Apply(*std::move(policy));
  }
  if (!status.ok()) {
    metrics_.PolicyRefused();
    LOG(ERROR) << "an applied policy is refused, the one before stays in force: " << status.message();
    return status;
  }
  return state_.datapath->receipt();
}

absl::StatusOr<CheckReport> PolicyControl::Check(absl::string_view text, const std::string& name) const {
  LATTICE_ASSIGN_OR_RETURN(const LoadedPolicy policy, source_.FromText(text, name));
  return CheckPolicy(policy, state_.options.datapath.policy_memory_bytes);
}

absl::Status PolicyControl::Apply(LoadedPolicy policy) {
  if (closed()) {
    return absl::FailedPreconditionError(
        "everything is denied while the audit file can't be written (--audit-disk-full=deny): repair the disk first");
  }
  LATTICE_RETURN_IF_ERROR(Publish(policy.rules));
  denying_ = false;
  LogWarnings(policy);
  state_.policy = std::move(policy);
  Published();
  return absl::OkStatus();
}

absl::Status PolicyControl::Publish(const policy::RuleSet& rules) {
  LATTICE_RETURN_IF_ERROR(state_.datapath->Apply(rules).status());
  // The answer first: freeing the old tables waits for the kernel.
  loop_.Post([this] {
    if (const absl::Status settled = state_.datapath->Settle(); !settled.ok()) {
      LOG(WARNING) << "tidying up after a policy, tried again at the next one: " << settled.message();
    }
  });
  return absl::OkStatus();
}

void PolicyControl::Published() {
  const datapath::Receipt& receipt = state_.datapath->receipt();
  state_.policy_applied = RealClock().Now();
  metrics_.PolicyApplied(receipt.apply_ms / 1000);
  LOG(INFO) << "policy generation " << receipt.generation << " is in force: " << Plural(receipt.rules, "rule")
            << " from " << state_.policy.source << ", " << Plural(receipt.prefixes, "prefix") << " in " << receipt.bytes
            << " bytes (" << receipt.lookup << "), hash " << receipt.hash.substr(0, 12) << ", " << receipt.apply_ms
            << " ms";
  state_.recorder->Add(
      flow::PolicyRecord(state_.recorder->NewContext(), RealClock(), receipt.generation, receipt.hash));
}

bool PolicyControl::closed() const {
  return state_.disk_failing && state_.options.audit.disk_full == audit::DiskFull::kDenyNew;
}

void PolicyControl::DiskFailing(bool failing) {
  state_.disk_failing = failing;
  FollowDisk();
}

void PolicyControl::FollowDisk() {
  if (closed() == denying_) return;
  const absl::Status published = Publish(closed() ? DenyEverything() : state_.policy.rules);
  if (!published.ok()) {
    metrics_.PolicyRefused();
    LOG(ERROR) << (closed() ? "cannot deny everything although the audit file can't be written, tried again: "
                            : "cannot open up again after the disk failure, tried again: ")
               << published.message();
    loop_.AddOnce(kRetry, [this] { FollowDisk(); });
    return;
  }
  denying_ = closed();
  LOG(WARNING) << (denying_ ? "everything is denied until the audit file can be written again"
                            : "the audit file can be written, the policy is in force again");
  Published();
}

}  // namespace lattice::dp
