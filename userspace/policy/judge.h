// The reference judge: what a policy says about one packet, by asking every rule in
// turn. It is the specification that the compiled tables and the BPF programs are
// tested against, so it has no data structure that could be wrong.
#ifndef USERSPACE_POLICY_JUDGE_H_
#define USERSPACE_POLICY_JUDGE_H_

#include <lattice/abi.h>

#include <cstddef>
#include <cstdint>
#include <optional>

#include "userspace/base/ip.h"
#include "userspace/policy/rule.h"

namespace lattice::policy {

struct Decision {
  bool allow = false;
  std::optional<size_t> rule;  // index in the direction's list; none: the default decided

  bool operator==(const Decision&) const = default;
};

// `remote`: destination of egress, source of ingress. `port`: the remote port for
// egress, the local one for ingress; none where the packet has no ports that can be
// read (a later fragment): it never matches an allow rule with ports and always a deny
// rule with ports of its protocol. For protocols other than TCP and UDP it is ignored.
Decision Judge(const RuleSet& rules, lat_direction direction, const IpAddress& remote, uint8_t protocol,
               std::optional<uint16_t> port);

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_JUDGE_H_
