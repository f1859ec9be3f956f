#include "tools/lattice/sandbox_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

std::string RunFolder(const std::string& config_dir) {
  if (geteuid() == 0) return "/run/lattice";
  const char* const runtime = getenv("XDG_RUNTIME_DIR");
  return runtime != nullptr && access(runtime, W_OK) == 0 ? absl::StrCat(runtime, "/lattice") : config_dir;
}

}  // namespace

absl::StatusOr<SandboxLock> SandboxLock::Acquire(const std::string& name, const std::string& config_dir) {
  const std::string folder = RunFolder(config_dir);
  LATTICE_RETURN_IF_ERROR(MakeDirectories(folder, geteuid() == 0 ? 0755 : 0700));
  const std::string path = absl::StrCat(folder, "/sandbox-", name, ".lock");
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return ErrnoStatus(errno, path);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, path);
    const auto pid = ReadFile(path, 64);
    return absl::AlreadyExistsError(
        absl::StrCat("a sandbox \"", name, "\" runs already",
                     pid.ok() && !pid->empty() ? absl::StrCat(" (process ", absl::StripAsciiWhitespace(*pid), ")") : "",
                     "; stop it, or take another --name"));
  }
  // Only told to people: the lock is what counts.
  const std::string pid = absl::StrCat(getpid(), "\n");
  if (ftruncate(fd.get(), 0) != 0 || pwrite(fd.get(), pid.data(), pid.size(), 0) < 0) return ErrnoStatus(errno, path);
  return SandboxLock(std::move(fd));
}

}  // namespace lattice::cli
