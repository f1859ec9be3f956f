#include "userspace/datapath/lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <utility>

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

// What the holder wrote; 0 between its flock and its write.
int ReadPid(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  int pid = 0;
  if (!text.ok() || !absl::SimpleAtoi(absl::StripSuffix(*text, "\n"), &pid)) return 0;
  return pid;
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
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd.ok()) return ErrnoStatus(errno, absl::StrCat("opening the lock file ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("locking ", path));
    return absl::AlreadyExistsError(
        absl::StrFormat("another latticed-dp has interface %s: process %d (lock file %s)", iface, ReadPid(path), path));
  }
  if (ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, absl::StrCat("truncating ", path));
  LATTICE_RETURN_IF_ERROR(Annotate(WriteAll(fd.get(), absl::StrCat(getpid(), "\n")), path));
  return InterfaceLock(std::move(fd));
}

absl::StatusOr<int> InterfaceLock::Holder(const std::string& iface, const std::string& run_dir) {
  LATTICE_ASSIGN_OR_RETURN(const std::string path, LockPath(iface, run_dir));
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.ok()) {
    if (errno == ENOENT) return 0;
    return ErrnoStatus(errno, absl::StrCat("opening the lock file ", path));
  }
  // A shared lock, so that two callers don't see each other as the holder.
  if (flock(fd.get(), LOCK_SH | LOCK_NB) == 0) return 0;
  if (errno != EWOULDBLOCK) return ErrnoStatus(errno, absl::StrCat("testing the lock ", path));
  return ReadPid(path);
}

}  // namespace lattice::datapath
