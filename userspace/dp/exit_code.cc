#include "userspace/dp/exit_code.h"

namespace lattice::dp {

ExitCode StartExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return kExitOk;
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return kExitRuntime;
    default:
      return kExitRefused;
  }
}

std::string ExitCodeHelp() {
  return "Exit codes: 0 stopped as asked; 1 failed while running (enforcement stays); 2 wrong flag, rule or policy "
         "file;\n"
         "3 refused by the environment (permission, kernel, interface, another daemon, path, port). 2 and 3: nothing "
         "changed.\n";
}

}  // namespace lattice::dp
