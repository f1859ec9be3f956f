// A sandbox's policy: the rules of the flags, those of --policy-file and those that the control plane pushed, as one.
//
// All allow rules add up, and a deny rule wins over them, wherever each comes from; a rule that two of them have counts
// once. A source that turns bad (a file with an error, a push that is none) keeps what it said before. One thread.
#ifndef TOOLS_LATTICE_SANDBOX_POLICY_H_
#define TOOLS_LATTICE_SANDBOX_POLICY_H_

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/dp/flags.h"
#include "userspace/dp/policy_source.h"
#include "userspace/policy/rule.h"

namespace lattice::cli {

class SandboxPolicy {
 public:
  // InvalidArgument for bad flags or a bad file.
  static absl::StatusOr<SandboxPolicy> Load(std::vector<dp::RuleFlag> flags, bool egress_default_deny,
                                            std::string file);

  // Lines of a policy file. InvalidArgument: nothing has changed.
  absl::Status SetPushed(const std::vector<std::string>& lines);
  // Reads the file again if it is another than the last one that was read; whether it was.
  absl::StatusOr<bool> ReadAgain();
  policy::RuleSet Rules() const;
  // Since the last call.
  std::vector<std::string> TakeWarnings();

 private:
  SandboxPolicy(std::vector<dp::RuleFlag> flags, bool egress_default_deny, std::string file);
  absl::Status ReadOwn();

  std::string file_;
  dp::PolicySource own_;
  policy::RuleSet own_rules_;
  policy::RuleSet pushed_;
  struct stat read_ {};  // of the file
  std::vector<std::string> warnings_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_POLICY_H_
