// EgressFilter: whether a flow may be, by the policy in force. The same grammar and the same judge as the data plane's
// (userspace/policy); ingress rules are asked here too.
//
//   filter.Replace(rules);                                        // the whole policy, at once
//   Verdict verdict = filter.Judge(LAT_EGRESS, address, kTcp, 443);
//
// The promise: without a policy everything is denied. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_EGRESS_FILTER_H_
#define USERSPACE_SANDBOX_EGRESS_FILTER_H_

#include <lattice/abi.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "userspace/base/ip.h"
#include "userspace/flow/names.h"
#include "userspace/policy/rule.h"

namespace lattice::sandbox {

struct Verdict {
  bool allow = false;
  flow::Reason reason = flow::Reason::kNone;
  std::string rule;  // its name; empty: the default decided
};

class EgressFilter {
 public:
  // `remote`, `port`: of policy::Judge().
  Verdict Judge(lat_direction direction, const IpAddress& remote, uint8_t protocol, std::optional<uint16_t> port) const;
  // As Judge(), also while closed: of a flow that is there.
  Verdict JudgeLive(lat_direction direction, const IpAddress& remote, uint8_t protocol,
                    std::optional<uint16_t> port) const;

  // Calls OnChange() after it is in force.
  void Replace(policy::RuleSet rules);
  // While `closed` everything is denied: nothing could be recorded. Flows that are there stay.
  void SetClosed(bool closed) { closed_ = closed; }
  void OnChange(std::function<void()> callback) { changed_ = std::move(callback); }

  // Of Replace(), from 1; 0 before the first.
  uint32_t generation() const { return generation_; }
  // Of the rules in force, as the data plane gives it: hex SHA-256.
  const std::string& hash() const { return hash_; }
  const policy::RuleSet& rules() const { return rules_; }

 private:
  policy::RuleSet rules_;
  uint32_t generation_ = 0;
  std::string hash_;
  bool closed_ = false;
  std::function<void()> changed_ = [] {};
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_EGRESS_FILTER_H_
