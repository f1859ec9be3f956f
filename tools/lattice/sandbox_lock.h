// One sandbox of a name on a host: a lock in /run/lattice, or for users in $XDG_RUNTIME_DIR/lattice or their folder of
// credentials. It goes with the process, however that ends.
#ifndef TOOLS_LATTICE_SANDBOX_LOCK_H_
#define TOOLS_LATTICE_SANDBOX_LOCK_H_

#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::cli {

class SandboxLock {
 public:
  // AlreadyExists: it runs; names its process.
  static absl::StatusOr<SandboxLock> Acquire(const std::string& name, const std::string& config_dir);

 private:
  explicit SandboxLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_LOCK_H_
