#include "userspace/datapath/lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"

namespace lattice::datapath {
namespace {

absl::StatusOr<std::string> LockPath(const std::string& iface, const std::string& run_dir) {
  LATTICE_ASSIGN_OR_RETURN(const std::string instance, InstanceName(iface));
  return absl::StrFormat("%s/dp-%s.lock", run_dir, instance);
}

// What the holder wrote; 0 between its lock and its write.
int ReadPid(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripSuffix(*text, "\n"), &pid)) return 0;
  return pid;
}

// The whole file, for writing.
struct flock WholeFile() {
  struct flock lock = {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

absl::Status Taken(const std::string& iface, int pid, const std::string& path) {
  return absl::AlreadyExistsError(
      absl::StrFormat("another latticed-dp has interface %s: process %d (lock file %s)", iface, pid, path));
}

// 0: nobody. F_OFD_GETLK asks without taking: who asks stands in nobody's way.
absl::StatusOr<int> HolderOf(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) {
    if (errno == ENOENT) return 0;
    return ErrnoStatus(errno, absl::StrCat("opening the lock file ", path));
  }
  struct flock lock = WholeFile();
  if (fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) return ErrnoStatus(errno, absl::StrCat("testing the lock ", path));
  return lock.l_type == F_UNLCK ? 0 : ReadPid(path);
}

}  // namespace

absl::StatusOr<std::string> InstanceName(const std::string& iface) {
  LATTICE_ASSIGN_OR_RETURN(const bool initial, InInitialNetNamespace());
  if (initial) return iface;
  LATTICE_ASSIGN_OR_RETURN(const NetNamespace netns, CurrentNetNamespace());
  return absl::StrCat(iface, "@", netns.inode);
}

absl::StatusOr<InterfaceLock> InterfaceLock::Acquire(const std::string& iface, const std::string& run_dir) {
  LATTICE_RETURN_IF_ERROR(MakeDirectories(run_dir, 0755));
  LATTICE_ASSIGN_OR_RETURN(const std::string path, LockPath(iface, run_dir));
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("opening the lock file ", path));
  // Who can open it can lock it and so keep us from starting.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoStatus(errno, absl::StrCat("closing the lock file to others: ", path));
  struct flock lock = WholeFile();
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno != EAGAIN && errno != EACCES) return ErrnoStatus(errno, absl::StrCat("locking ", path));
    return Taken(iface, ReadPid(path), path);
  }
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, absl::StrCat("truncating ", path));
  LATTICE_RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), absl::StrCat(getpid(), "\n")), path));
  return InterfaceLock(std::move(fd));
}

absl::StatusOr<int> InterfaceLock::Holder(const std::string& iface, const std::string& run_dir) {
  LATTICE_ASSIGN_OR_RETURN(const std::string path, LockPath(iface, run_dir));
  return HolderOf(path);
}

absl::Status InterfaceLock::CheckFree(const std::string& iface, const std::string& run_dir) {
  LATTICE_ASSIGN_OR_RETURN(const std::string path, LockPath(iface, run_dir));
  const absl::StatusOr<int> holder = HolderOf(path);
  return holder.ok() && *holder != 0 ? Taken(iface, *holder, path) : absl::OkStatus();
}

absl::StatusOr<int> InterfaceLock::HolderElsewhere(const std::string& iface, const std::string& run_dir) {
  LATTICE_ASSIGN_OR_RETURN(const std::string own, LockPath(iface, run_dir));
  std::error_code error;  // no folder, no locks
  for (const auto& entry : std::filesystem::directory_iterator(run_dir, error)) {
    const std::string name = entry.path().filename().string();
    const bool same_interface =
        name == absl::StrCat("dp-", iface, ".lock") || absl::StartsWith(name, absl::StrCat("dp-", iface, "@"));
    if (!same_interface || !absl::EndsWith(name, ".lock") || entry.path() == own) continue;
    LATTICE_ASSIGN_OR_RETURN(const int holder, HolderOf(entry.path().string()));
    if (holder != 0) return holder;
  }
  return 0;
}

}  // namespace lattice::datapath
