// What /healthz and /readyz answer. Main thread.
#ifndef USERSPACE_DP_HEALTH_H_
#define USERSPACE_DP_HEALTH_H_

#include <string>
#include <vector>

#include "userspace/dp/state.h"

namespace lattice::dp {

// Empty: all is well. Otherwise a reason each.
using Reasons = std::vector<std::string>;

// The process is stuck and should be restarted: the recorder has not come round for a while.
Reasons LivenessProblems(const DaemonState& state, int64_t now_ns);
// Something that is promised does not hold now: a hook is not in place, records are not written.
Reasons ReadinessProblems(const DaemonState& state, int64_t now_ns);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_HEALTH_H_
