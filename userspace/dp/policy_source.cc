#include "userspace/dp/policy_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/policy/policy_file.h"

namespace lattice::dp {
namespace {

void AddFlag(const RuleFlag& flag, LoadedPolicy* policy, std::vector<std::string>* problems) {
  std::vector<std::string> warnings;
  auto rules = policy::ParseRuleList(flag.text, &warnings);
  for (const std::string& warning : warnings) policy->warnings.push_back(absl::StrCat(flag.flag, ": ", warning));
  if (!rules.ok()) {
    problems->push_back(absl::StrCat(flag.flag, "=", flag.text, ": ", rules.status().message()));
    return;
  }
  auto& list = flag.direction == LAT_EGRESS ? policy->rules.egress : policy->rules.ingress;
  for (policy::Rule& rule : *rules) {
    rule.deny = !flag.allow;
    list.push_back(std::move(rule));
  }
}

void AddFile(policy::PolicyFile file, LoadedPolicy* policy) {
  policy->rules.egress.insert(policy->rules.egress.end(), file.egress.begin(), file.egress.end());
  policy->rules.ingress.insert(policy->rules.ingress.end(), file.ingress.begin(), file.ingress.end());
  policy->warnings.insert(policy->warnings.end(), file.warnings.begin(), file.warnings.end());
}

std::string SourceName(const PolicyOptions& options) {
  if (options.file.empty()) return options.rules.empty() ? "no flag or file" : "flags";
  return options.rules.empty() ? options.file : absl::StrCat("flags and ", options.file);
}

}  // namespace

absl::StatusOr<LoadedPolicy> PolicySource::Load() const {
  LoadedPolicy policy;
  policy.source = SourceName(options_);
  std::vector<std::string> problems;
  for (const RuleFlag& flag : options_.rules) AddFlag(flag, &policy, &problems);
  absl::Status unreadable;
  if (!options_.file.empty()) {
    const auto text = ReadFile(options_.file);
    unreadable = Annotate(text.status(), "--policy-file");
    auto file = text.ok() ? policy::ParsePolicyFile(*text, options_.file) : unreadable;
    if (file.ok()) {
      AddFile(*std::move(file), &policy);
    } else {
      problems.emplace_back(file.status().message());
    }
  }
  if (problems.size() == 1 && !unreadable.ok()) return unreadable;
  if (!problems.empty()) return absl::InvalidArgumentError(absl::StrJoin(problems, "\n"));
  return Finish(std::move(policy));
}

absl::StatusOr<LoadedPolicy> PolicySource::FromText(absl::string_view text, const std::string& name) const {
  LoadedPolicy policy;
  policy.source = name;
  LATTICE_ASSIGN_OR_RETURN(policy::PolicyFile file, policy::ParsePolicyFile(text, name));
  AddFile(std::move(file), &policy);
  return Finish(std::move(policy));
}

absl::StatusOr<LoadedPolicy> PolicySource::Finish(LoadedPolicy policy) const {
  policy.rules.egress_default_deny = options_.egress_default_deny;
  const bool allows_ingress = std::any_of(policy.rules.ingress.begin(), policy.rules.ingress.end(),
                                          [](const policy::Rule& rule) { return !rule.deny; });
  policy.rules.ingress_default_deny = options_.ingress_default_deny.value_or(allows_ingress);
  LATTICE_RETURN_IF_ERROR(policy::CheckRuleSet(policy.rules));
  return policy;
}

policy::RuleSet DenyEverything() {
  return {.egress = {}, .ingress = {}, .egress_default_deny = true, .ingress_default_deny = true};
}

}  // namespace lattice::dp
