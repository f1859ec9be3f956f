// What `lattice dp status` can say without a daemon: from the pins and the kernel.
#ifndef TOOLS_LATTICE_PINNED_STATUS_H_
#define TOOLS_LATTICE_PINNED_STATUS_H_

#include <string>

#include "absl/status/statusor.h"

namespace lattice::cli {

// In the form of the daemon's /v1/status, without what only a daemon knows. NotFound: no pins either.
absl::StatusOr<std::string> PinnedStatus(const std::string& iface, const std::string& pin_path);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_PINNED_STATUS_H_
