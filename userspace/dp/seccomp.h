// The system calls latticed-dp may make once it runs. What is not on the list in
// seccomp.cc answers EPERM and leaves a line in the kernel's audit log: the daemon
// then reports an error and goes on, because a dead daemon records nothing. What
// only an intruder calls (another program, another process's memory, modules)
// kills the process: enforcement stays by its pins.
#ifndef USERSPACE_DP_SECCOMP_H_
#define USERSPACE_DP_SECCOMP_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::dp {

enum class SeccompMode {
  kEnforce,
  kLog,  // everything is allowed, what enforce would refuse is logged by the kernel
  kOff,
};

// "enforce", "log" or "off".
absl::StatusOr<SeccompMode> ParseSeccompMode(absl::string_view text);

// For all threads of this process, for good. Needs no_new_privs (DropPrivileges sets it).
absl::Status RestrictSystemCalls(SeccompMode mode);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_SECCOMP_H_
