// The policy file: any text is refused with "FILE:LINE: message", or its rules make a
// valid set that prints to a file of the same rules.
#include <cstdint>
#include <string>

#include "absl/strings/match.h"
#include "glog/logging.h"
#include "userspace/policy/policy_file.h"
#include "userspace/policy/rule.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lattice::policy::ParsePolicyFile;
  using lattice::policy::RuleSet;
  const auto file = ParsePolicyFile(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!file.ok()) {
    CHECK(absl::StartsWith(file.status().message(), "fuzz:")) << file.status();
    return 0;
  }
  const RuleSet rules{.egress = file->egress, .ingress = file->ingress};
  CHECK(CheckRuleSet(rules).ok()) << CheckRuleSet(rules);
  const auto again = ParsePolicyFile(Print(rules), "printed");
  CHECK(again.ok()) << again.status();
  CHECK(again->egress == rules.egress && again->ingress == rules.ingress) << Print(rules);
  CHECK(again->warnings.empty());
  return 0;
}
