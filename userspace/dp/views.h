// What the admin socket answers, as JSON text. Keys are stable: scripts read them. Main thread.
#ifndef USERSPACE_DP_VIEWS_H_
#define USERSPACE_DP_VIEWS_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/options.h"
#include "userspace/dp/policy_control.h"
#include "userspace/dp/state.h"

namespace lattice::dp {

// GET /v1/status
std::string StatusJson(const DaemonState& state, uint64_t policies_refused);
// GET /v1/policy: what is in force, as the text of a policy file and rule by rule with hits.
absl::StatusOr<std::string> PolicyJson(const DaemonState& state);
// GET /v1/doctor: what only the daemon knows; `lattice dp doctor` adds its own look at the kernel.
std::string DoctorJson(const DaemonState& state);

// POST /v1/policy/check and /v1/policy/apply
std::string CheckJson(const CheckReport& report);
std::string ReceiptJson(const datapath::Receipt& receipt, const std::string& source,
                        const std::vector<std::string>& warnings);
// POST /v1/detach
std::string RemovedJson(const std::vector<std::string>& removed);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_VIEWS_H_
