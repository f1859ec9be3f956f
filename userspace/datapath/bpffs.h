// The BPF file system under the pins.
#ifndef USERSPACE_DATAPATH_BPFFS_H_
#define USERSPACE_DATAPATH_BPFFS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace lattice::datapath {

// Whether `path`, or its nearest existing parent, is on a bpffs.
absl::StatusOr<bool> IsOnBpffs(const std::string& path);

// Makes sure that `pin_path` exists (0700) on a bpffs. Mounts one at /sys/fs/bpf if `pin_path` is under it
// and nothing is mounted there; elsewhere FailedPrecondition with the mount command to run.
// PermissionDenied names CAP_SYS_ADMIN.
absl::Status MountBpffsIfMissing(const std::string& pin_path);

// Whether pins at `pin_path` go when the mount namespace of this process does, and enforcement with them: they are on a
// bpffs, or would be on one made now, that process 1 does not have. So it is in `ip netns exec`. False where that can't
// be told.
bool PinsEndWithMountNamespace(const std::string& pin_path);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_BPFFS_H_
