// The lines that say what holds now: at start, for the service manager, and at the end.
#ifndef USERSPACE_DP_ANNOUNCE_H_
#define USERSPACE_DP_ANNOUNCE_H_

#include <string>
#include <vector>

#include "userspace/datapath/hooks.h"
#include "userspace/dp/state.h"

namespace lattice::dp {

// One line: what is enforced where, by which hook, under which policy, and where records go.
// "enforcing on wg0: egress by tcx (2 rules, default deny), ingress by tcx (0 rules, default allow); policy …"
std::string EnforcementLine(const DaemonState& state, const std::vector<datapath::HookStatus>& hooks);

// How to take away what the daemon leaves in the kernel.
std::string RemovalHint(const datapath::Options& options);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_ANNOUNCE_H_
