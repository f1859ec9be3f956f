// What is attached, told by the pins alone: for those who look without a daemon and load
// nothing. Any thread.
#ifndef USERSPACE_DATAPATH_PINNED_HOOKS_H_
#define USERSPACE_DATAPATH_PINNED_HOOKS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/datapath/hooks.h"

namespace lattice::datapath {

// A hook for each pinned link and for each clsact filter of ours on `iface`, in pin order; both tc hooks are
// always in the list. Cgroups are named by id, which is the inode of their folder.
absl::StatusOr<std::vector<HookStatus>> PinnedHooks(const std::string& iface, const std::string& pin_path);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PINNED_HOOKS_H_
