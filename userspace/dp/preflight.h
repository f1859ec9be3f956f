// Everything that can be known to be wrong before anything is changed: the policy, the
// kernel, the privileges, the interface, the files. All problems at once.
#ifndef USERSPACE_DP_PREFLIGHT_H_
#define USERSPACE_DP_PREFLIGHT_H_

#include "absl/status/statusor.h"
#include "userspace/dp/options.h"
#include "userspace/dp/policy_source.h"

namespace lattice::dp {

// Reads only, but for our own default folders, which it makes. The policy to enforce; or an
// error with a line for each problem, InvalidArgument if the operator's input is among them, else
// the code of the first.
absl::StatusOr<LoadedPolicy> Preflight(const Options& options, const PolicySource& source);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_PREFLIGHT_H_
