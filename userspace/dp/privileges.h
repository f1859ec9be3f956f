// What this process may still do after everything is attached. The user stays
// root, so root's files stay writable, but the capabilities go, except:
//
//   CAP_BPF        new policies are new maps; lat_sweep runs as a BPF program
//   CAP_NET_ADMIN  attach again when the interface comes back; network BPF programs
//
// What is not kept: CAP_PERFMON (the programs are loaded by now), CAP_SYS_ADMIN
// (bpffs is mounted by now), CAP_DAC_OVERRIDE (the audit folder has to be root's;
// CheckAccess tells before anything is attached), CAP_NET_BIND_SERVICE (bound by now).
#ifndef USERSPACE_DP_PRIVILEGES_H_
#define USERSPACE_DP_PRIVILEGES_H_

#include <string>

#include "absl/status/status.h"

namespace lattice::dp {

// Whether uid 0 may write `path` (or make it, in its folder) with the kept capabilities alone.
absl::Status CheckWritable(const std::string& path);
absl::Status CheckReadable(const std::string& path);

// Drops for good: effective, permitted, inheritable, ambient and bounding sets, and sets
// no_new_privs. Capabilities are per thread: FailedPrecondition when another thread runs.
absl::Status DropPrivileges();

}  // namespace lattice::dp

#endif  // USERSPACE_DP_PRIVILEGES_H_
