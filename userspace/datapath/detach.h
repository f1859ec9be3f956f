// Takes the data plane of an interface out of the kernel. Works without a daemon and
// without loading anything. Records that are still in the pinned rings, and flows that
// are still open, are lost with the maps (CountUntold): a running daemon ends and drains
// them first (Datapath::Sweep with end_all).
#ifndef USERSPACE_DATAPATH_DETACH_H_
#define USERSPACE_DATAPATH_DETACH_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace lattice::datapath {

struct DetachReport {
  std::vector<std::string> removed;  // a line each: "link tc_egress (tcx)", "filter egress (clsact)", "map flows4"
};

// Records that are due and that nobody has: of live flows their end, of denied attempts what came since their last
// record, and what waits in the rings. Reads the pins only. NotFound: there are none.
absl::StatusOr<uint64_t> CountUntold(const std::string& iface, const std::string& pin_path);

// Removes our links, our clsact filters (of the interface in the caller's network namespace) and the
// pin folder. Goes on after a failure and returns the first one, so that a second call can finish.
// NotFound: there is nothing of ours. FailedPrecondition: the pins enforce in another network namespace. Hold the
// InterfaceLock, or a daemon may start meanwhile.
absl::StatusOr<DetachReport> Detach(const std::string& iface, const std::string& pin_path);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_DETACH_H_
