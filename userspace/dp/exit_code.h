// How latticed-dp ends, for systemd, scripts and the man page.
#ifndef USERSPACE_DP_EXIT_CODE_H_
#define USERSPACE_DP_EXIT_CODE_H_

#include <string>

#include "absl/status/status.h"

namespace lattice::dp {

enum ExitCode {
  kExitOk = 0,       // asked to stop, and every record is written
  kExitRuntime = 1,  // a failure while running; enforcement stays as it was
  kExitUsage = 2,    // a flag, a rule or a policy file is wrong; nothing was changed
  kExitRefused = 3,  // permission, kernel feature, interface, another daemon, path or port; nothing was changed
};

// Of an error before anything was attached.
ExitCode StartExitCode(const absl::Status& status);

// The list above in words.
std::string ExitCodeHelp();

}  // namespace lattice::dp

#endif  // USERSPACE_DP_EXIT_CODE_H_
