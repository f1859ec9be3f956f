// The kernel's copy of one compiled policy: the inner maps, before and after they hang in
// the outer ones. One thread.
#ifndef USERSPACE_DATAPATH_POLICY_TABLES_H_
#define USERSPACE_DATAPATH_POLICY_TABLES_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/programs.h"
#include "userspace/policy/compiler.h"

namespace lattice::datapath {

class PolicyTables {
 public:
  // Makes and fills the maps; nobody sees them yet. ResourceExhausted: the kernel has no memory.
  static absl::StatusOr<PolicyTables> Build(const policy::CompiledPolicy& compiled);

  // Hangs them into slot generation & 1 of the outer maps; each update waits for an RCU grace period.
  absl::Status Install(const Programs::MapFds& maps, uint32_t generation) const;

 private:
  UniqueFd words_;  // the first block
  UniqueFd more_;   // the others, if there are
  UniqueFd lpm4_;   // only of an LPM policy
  UniqueFd lpm6_;
};

// Empties slot generation & 1 of the outer maps. Empty ones are fine.
absl::Status RemovePolicyTables(const Programs::MapFds& maps, uint32_t generation);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_POLICY_TABLES_H_
