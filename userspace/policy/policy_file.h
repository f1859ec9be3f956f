// The policy file: one rule a line,
//   [egress|ingress] [allow|deny] RULE [name=NAME]
// with the rule grammar of rule.h, `#` to the end of the line a comment, and "egress
// allow" where a line says nothing else. Either the whole file is good or nothing of
// it is returned. Sans-I/O: the caller reads the file.
#ifndef USERSPACE_POLICY_POLICY_FILE_H_
#define USERSPACE_POLICY_POLICY_FILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/policy/rule.h"

namespace lattice::policy {

struct PolicyFile {
  std::vector<Rule> egress;
  std::vector<Rule> ingress;
  std::vector<std::string> warnings;  // "FILE:LINE: …"
};

// `file` is the name used in errors and warnings. InvalidArgument
// "FILE:LINE: <text, column, what was expected>" for each bad line, also for a rule name
// that an earlier line has; of more than 20 the first 20.
absl::StatusOr<PolicyFile> ParsePolicyFile(absl::string_view text, absl::string_view file);

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_POLICY_FILE_H_
