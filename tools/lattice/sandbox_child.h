// The command of `lattice sandbox run`: an ordinary child with the proxy in its environment. It stays in our process
// group, so the terminal's signals reach it. One thread: the one that started it.
#ifndef TOOLS_LATTICE_SANDBOX_CHILD_H_
#define TOOLS_LATTICE_SANDBOX_CHILD_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::cli {

class SandboxChild {
 public:
  // `command[0]` is looked for in PATH. NotFound: it is nowhere; PermissionDenied: it is no program for us.
  // `environment` is added to ours. It gets SIGTERM when we die.
  static absl::StatusOr<std::unique_ptr<SandboxChild>> Start(
      const std::vector<std::string>& command, const std::vector<std::pair<std::string, std::string>>& environment);
  // SIGKILL, if it still runs.
  ~SandboxChild();

  // Readable when it has ended.
  int fd() const { return pidfd_.get(); }
  void Signal(int signal) const;
  // After its end: what a shell has in $?, 128 + n for signal n.
  int ExitCode();

 private:
  SandboxChild() = default;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

// What tells programs of the proxy: ALL_PROXY and its like. `socks`: "127.0.0.1:1080".
std::vector<std::pair<std::string, std::string>> ProxyEnvironment(const std::string& proxy, const std::string& name);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_CHILD_H_
