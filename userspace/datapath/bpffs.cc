#include "userspace/datapath/bpffs.h"

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include <filesystem>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::datapath {
namespace {

constexpr char kBpffs[] = "/sys/fs/bpf";

bool IsUnder(const std::string& path, absl::string_view folder) {
  return path == folder || absl::StartsWith(path, absl::StrCat(folder, "/"));
}

absl::Status MountAt(const char* folder) {
  if (mount("bpf", folder, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") == 0) return absl::OkStatus();
  if (errno == EPERM) {
    return absl::PermissionDeniedError(
        absl::StrFormat("mounting bpffs at %s needs CAP_SYS_ADMIN; or run: mount -t bpf bpf %s", folder, folder));
  }
  return ErrnoStatus(errno, absl::StrFormat("mounting bpffs at %s", folder));
}

// What a process has mounted: the mounts, of which no two namespaces share one, and their file systems.
struct Mounts {
  std::set<std::string> ids;
  std::set<std::string> devices;  // "major:minor"
};

// proc(5), mountinfo. Everybody may read that of process 1, unlike the link to its namespace.
Mounts ReadMounts(const char* process) {
  Mounts mounts;
  const absl::StatusOr<std::string> text = ReadFile(absl::StrFormat("/proc/%s/mountinfo", process));
  if (!text.ok()) return mounts;
  for (absl::string_view line : absl::StrSplit(*text, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(' ', 3));
    if (fields.size() < 4) continue;
    mounts.ids.emplace(fields[0]);
    mounts.devices.emplace(fields[2]);
  }
  return mounts;
}

}  // namespace

absl::StatusOr<bool> IsOnBpffs(const std::string& path) {
  std::filesystem::path probe = std::filesystem::path(path).lexically_normal();
  while (true) {
    struct statfs fs;
    if (statfs(probe.c_str(), &fs) == 0) return fs.f_type == BPF_FS_MAGIC;
    // The look-up of a name with a dot, whoever asks.
    if (errno == EPERM && absl::StrContains(probe.filename().string(), '.')) {
      return absl::InvalidArgumentError(
          absl::StrFormat("--pin-path=%s: a BPF file system takes no dot in a name: choose another than \"%s\"", path,
                          probe.filename().string()));
    }
    if (errno != ENOENT || !probe.has_relative_path()) return ErrnoStatus(errno, absl::StrCat("looking at ", path));
    probe = probe.parent_path();
  }
}

absl::Status MountBpffsIfMissing(const std::string& pin_path) {
  const std::string path = std::filesystem::path(pin_path).lexically_normal().string();
  LATTICE_ASSIGN_OR_RETURN(bool on_bpffs, IsOnBpffs(path));
  if (!on_bpffs && IsUnder(path, kBpffs)) {
    LATTICE_RETURN_IF_ERROR(MountAt(kBpffs));
    LATTICE_ASSIGN_OR_RETURN(on_bpffs, IsOnBpffs(path));
  }
  if (!on_bpffs) {
    return absl::FailedPreconditionError(
        absl::StrFormat("--pin-path %s is not on a BPF file system: mount one with `mount -t bpf bpf FOLDER`, or use a "
                        "path under %s",
                        pin_path, kBpffs));
  }
  return MakeDirectories(path, 0700);
}

bool PinsEndWithMountNamespace(const std::string& pin_path) {
  const Mounts first = ReadMounts("1");
  const Mounts own = ReadMounts("self");
  if (first.ids.empty() || own.ids.empty() || first.ids.count(*own.ids.begin()) > 0) return false;
  const absl::StatusOr<bool> on_bpffs = IsOnBpffs(pin_path);
  if (!on_bpffs.ok()) return false;
  struct stat nearest;
  std::filesystem::path path = std::filesystem::path(pin_path).lexically_normal();
  while (stat(path.c_str(), &nearest) != 0) {
    if (!path.has_relative_path()) return false;
    path = path.parent_path();
  }
  return !*on_bpffs || first.devices.count(absl::StrFormat("%d:%d", major(nearest.st_dev), minor(nearest.st_dev))) == 0;
}

}  // namespace lattice::datapath
