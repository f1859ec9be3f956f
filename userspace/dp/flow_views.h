// The live flow table as JSON, for `lattice dp flows` and `lattice dp top`. Main thread.
#ifndef USERSPACE_DP_FLOW_VIEWS_H_
#define USERSPACE_DP_FLOW_VIEWS_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/datapath/datapath.h"
#include "userspace/dp/kernel_time.h"

namespace lattice::dp {

// GET /v1/flows: {"flows": […], "more": true if there are over `limit`}.
absl::StatusOr<std::string> FlowsJson(const datapath::Datapath& datapath, KernelTime now, size_t limit);
// GET /v1/flows?denied: attempts with the counts since they were first seen.
absl::StatusOr<std::string> DeniedJson(const datapath::Datapath& datapath, KernelTime now, size_t limit);

enum class TopBy { kFlow, kService, kRemote, kRule };
absl::StatusOr<TopBy> ParseTopBy(absl::string_view text);  // "flow", "service", "remote", "rule"

// GET /v1/top: the live flows added up by `by`, most bytes first, at most `limit`.
absl::StatusOr<std::string> TopJson(const datapath::Datapath& datapath, TopBy by, KernelTime now, size_t limit);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_FLOW_VIEWS_H_
