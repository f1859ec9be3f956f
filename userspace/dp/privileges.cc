#include "userspace/dp/privileges.h"

#include <fcntl.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::dp {
namespace {

struct FreeCap {
  void operator()(cap_t cap) const { cap_free(cap); }
};
using Caps = std::unique_ptr<std::remove_pointer_t<cap_t>, FreeCap>;

constexpr cap_value_t kKept[] = {CAP_BPF, CAP_NET_ADMIN};

absl::StatusOr<Caps> CurrentCaps() {
  Caps caps(cap_get_proc());
  if (caps == nullptr) return ErrnoStatus(errno, "reading the capabilities of this process");
  return caps;
}

absl::Status SetCaps(const Caps& caps, absl::string_view what) {
  if (cap_set_proc(caps.get()) != 0) return ErrnoStatus(errno, what);
  return absl::OkStatus();
}

absl::StatusOr<Caps> KeptCaps() {
  Caps caps(cap_init());
  const int count = std::size(kKept);
  if (caps == nullptr || cap_set_flag(caps.get(), CAP_PERMITTED, count, kKept, CAP_SET) != 0 ||
      cap_set_flag(caps.get(), CAP_EFFECTIVE, count, kKept, CAP_SET) != 0) {
    return ErrnoStatus(errno, "preparing the kept capabilities");
  }
  return caps;
}

// faccessat with AT_EACCESS, as it will be once the capabilities are gone.
absl::Status CheckAccess(const std::string& path, int mode) {
  LATTICE_ASSIGN_OR_RETURN(const Caps before, CurrentCaps());
  Caps reduced(cap_dup(before.get()));
  constexpr cap_value_t kFileCaps[] = {CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH};
  if (reduced == nullptr || cap_set_flag(reduced.get(), CAP_EFFECTIVE, 2, kFileCaps, CAP_CLEAR) != 0) {
    return ErrnoStatus(errno, "preparing reduced capabilities");
  }
  LATTICE_RETURN_IF_ERROR(SetCaps(reduced, "reducing the capabilities for an access test"));
  const int error = faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0 ? 0 : errno;
  LATTICE_RETURN_IF_ERROR(SetCaps(before, "restoring the capabilities after an access test"));
  if (error == 0) return absl::OkStatus();
  const absl::Status status = ErrnoStatus(error, absl::StrCat(mode & W_OK ? "writing to " : "reading ", path));
  if (error != EROFS) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), " (in a unit: ReadWritePaths= has to name it)"));
}

absl::Status CheckSingleThread() {
  int threads = 0;
  std::error_code error;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) ++threads;
  if (error) return absl::InternalError(absl::StrCat("counting the threads of this process: ", error.message()));
  if (threads == 1) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("privileges are dropped per thread, and ", threads, " threads run already"));
}

}  // namespace

absl::Status CheckWritable(const std::string& path) {
  if (access(path.c_str(), F_OK) == 0) return CheckAccess(path, W_OK);
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return CheckAccess(folder.empty() ? "." : folder, W_OK | X_OK);
}

absl::Status CheckReadable(const std::string& path) {
  return CheckAccess(path, R_OK);
}

absl::Status DropPrivileges() {
  LATTICE_RETURN_IF_ERROR(CheckSingleThread());
  LATTICE_ASSIGN_OR_RETURN(const Caps kept, KeptCaps());
  // The bounding set goes first: dropping from it needs CAP_SETPCAP.
  for (cap_value_t cap = 0; cap <= cap_max_bits() - 1; ++cap) {
    if (std::find(std::begin(kKept), std::end(kKept), cap) != std::end(kKept)) continue;
    if (cap_drop_bound(cap) != 0 && errno != EPERM) {
      return ErrnoStatus(errno, absl::StrCat("dropping capability ", cap, " from the bounding set"));
    }
  }
  if (cap_reset_ambient() != 0) return ErrnoStatus(errno, "clearing the ambient capabilities");
  LATTICE_RETURN_IF_ERROR(SetCaps(kept, "dropping capabilities"));
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return ErrnoStatus(errno, "setting no_new_privs");
  return absl::OkStatus();
}

}  // namespace lattice::dp
