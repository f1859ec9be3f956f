// Asks a compiled policy in userspace what the BPF programs would find in it, through
// the same walk (include/lattice/policy_walk.h). For tests and `lattice dp policy check`.
#ifndef USERSPACE_POLICY_TABLE_WALK_H_
#define USERSPACE_POLICY_TABLE_WALK_H_

#include <lattice/policy.h>

#include <cstdint>
#include <optional>

#include "userspace/base/ip.h"
#include "userspace/policy/compiler.h"

namespace lattice::policy {

struct TableDecision {
  bool allow = false;
  uint32_t rule = 0;  // rule slot + 1; 0: no rule

  bool operator==(const TableDecision&) const = default;
};

// Arguments as for Judge(). An LPM policy's entries are searched one by one: slow.
TableDecision WalkTable(const CompiledPolicy& policy, lat_direction direction, const IpAddress& remote,
                        uint8_t protocol, std::optional<uint16_t> port);

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_TABLE_WALK_H_
