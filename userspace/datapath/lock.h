// One daemon per interface and network namespace.
#ifndef USERSPACE_DATAPATH_LOCK_H_
#define USERSPACE_DATAPATH_LOCK_H_

#include <string>

#include "absl/status/statusor.h"
#include "userspace/base/unique_fd.h"

namespace lattice::datapath {

// The name of this interface among the host's run-time files: "wg0" in the network namespace the machine booted with,
// "wg0@4026532281" (the namespace's inode) elsewhere, so that two namespaces may both have a wg0.
absl::StatusOr<std::string> InstanceName(const std::string& iface);

// A lock on <run_dir>/dp-<instance>.lock, which holds our pid and is root's alone. Released by the destructor and
// by the death of the process; the file stays, because removing a lock file is a race.
class InterfaceLock {
 public:
  // AlreadyExists names the pid of the daemon that has it. `run_dir` is made when missing.
  static absl::StatusOr<InterfaceLock> Acquire(const std::string& iface, const std::string& run_dir = "/run/lattice");
  // AlreadyExists as of Acquire, without taking it. OK also where it can't be known.
  static absl::Status CheckFree(const std::string& iface, const std::string& run_dir = "/run/lattice");
  // The pid of who holds the lock of an interface of this name in another network namespace, 0: nobody.
  static absl::StatusOr<int> HolderElsewhere(const std::string& iface, const std::string& run_dir = "/run/lattice");
  // The pid of the holder, 0 if nobody holds it.
  static absl::StatusOr<int> Holder(const std::string& iface, const std::string& run_dir = "/run/lattice");

 private:
  explicit InterfaceLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_LOCK_H_
