#include "tools/lattice/sandbox_policy.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/status.h"
#include "userspace/policy/policy_file.h"

namespace lattice::cli {
namespace {

// Those of `more` whose names `rules` does not have.
void Merge(const std::vector<policy::Rule>& more, bool ingress, std::vector<policy::Rule>* rules) {
  std::set<std::string> names;
  for (const policy::Rule& rule : *rules) names.insert(policy::RuleName(rule, ingress));
  for (const policy::Rule& rule : more) {
    if (names.insert(policy::RuleName(rule, ingress)).second) rules->push_back(rule);
  }
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

SandboxPolicy::SandboxPolicy(std::vector<dp::RuleFlag> flags, bool egress_default_deny, std::string file)
    : file_(file),
      own_(dp::PolicyOptions{
          .rules = std::move(flags), .egress_default_deny = egress_default_deny, .file = std::move(file)}) {}

absl::StatusOr<SandboxPolicy> SandboxPolicy::Load(std::vector<dp::RuleFlag> flags, bool egress_default_deny,
                                                  std::string file) {
  SandboxPolicy policy(std::move(flags), egress_default_deny, std::move(file));
  LATTICE_RETURN_IF_ERROR(policy.ReadOwn());
  return policy;
}

absl::Status SandboxPolicy::ReadOwn() {
  // Before it is read: a change in between is seen the next time.
  if (!file_.empty()) stat(file_.c_str(), &read_);
  LATTICE_ASSIGN_OR_RETURN(dp::LoadedPolicy loaded, own_.Load());
  own_rules_ = std::move(loaded.rules);
  warnings_.insert(warnings_.end(), loaded.warnings.begin(), loaded.warnings.end());
  return absl::OkStatus();
}

absl::StatusOr<bool> SandboxPolicy::ReadAgain() {
  struct stat now {};
  if (file_.empty() || stat(file_.c_str(), &now) != 0 || SameFile(now, read_)) return false;
  LATTICE_RETURN_IF_ERROR(ReadOwn());
  return true;
}

absl::Status SandboxPolicy::SetPushed(const std::vector<std::string>& lines) {
  LATTICE_ASSIGN_OR_RETURN(dp::LoadedPolicy loaded,
                           own_.FromText(absl::StrJoin(lines, "\n"), "the control plane's policy"));
  pushed_ = std::move(loaded.rules);
  return absl::OkStatus();
}

policy::RuleSet SandboxPolicy::Rules() const {
  policy::RuleSet rules = own_rules_;
  Merge(pushed_.egress, /*ingress=*/false, &rules.egress);
  Merge(pushed_.ingress, /*ingress=*/true, &rules.ingress);
  rules.ingress_default_deny =
      std::any_of(rules.ingress.begin(), rules.ingress.end(), [](const policy::Rule& rule) { return !rule.deny; });
  return rules;
}

std::vector<std::string> SandboxPolicy::TakeWarnings() {
  return std::exchange(warnings_, {});
}

}  // namespace lattice::cli
