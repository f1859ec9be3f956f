// Where the policy in force comes from, and how its parts become one rule set.
//
// At start and at SIGHUP: the rules of the flags in the order of the command line, then those of
// --policy-file. Deny wins over allow; among equals the first in that order names the verdict.
// A policy applied over the admin socket is the whole list instead (flag rules included: what
// it doesn't name is gone) until the next reload; the defaults of the flags hold for both.
//
// Any thread; reads the file at each call.
#ifndef USERSPACE_DP_POLICY_SOURCE_H_
#define USERSPACE_DP_POLICY_SOURCE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/dp/options.h"
#include "userspace/policy/rule.h"

namespace lattice::dp {

struct LoadedPolicy {
  policy::RuleSet rules;
  std::vector<std::string> warnings;
  std::string source;  // for people: "flags and /etc/lattice/wg0.policy"
};

class PolicySource {
 public:
  explicit PolicySource(PolicyOptions options) : options_(std::move(options)) {}

  // InvalidArgument with every bad rule of the flags and of the file (see ParsePolicyFile); an error of
  // the file's reading names the path and --policy-file.
  absl::StatusOr<LoadedPolicy> Load() const;
  // `text` is a policy file, `name` what errors call it.
  absl::StatusOr<LoadedPolicy> FromText(absl::string_view text, const std::string& name) const;

  const PolicyOptions& options() const { return options_; }

 private:
  absl::StatusOr<LoadedPolicy> Finish(LoadedPolicy policy) const;

  const PolicyOptions options_;
};

// No rules, and both directions closed.
policy::RuleSet DenyEverything();

}  // namespace lattice::dp

#endif  // USERSPACE_DP_POLICY_SOURCE_H_
