// The path of a cgroup by its id, for records. One thread.
#ifndef USERSPACE_DP_CGROUP_NAMES_H_
#define USERSPACE_DP_CGROUP_NAMES_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"

namespace lattice::dp {

class CgroupNames {
 public:
  // `root` is where cgroup2 is mounted (Cgroup2Root); empty: nothing is ever found.
  CgroupNames(std::string root, const Clock& clock) : root_(std::move(root)), clock_(clock) {}

  // "/system.slice/agent.service"; empty if there is none with this id. An unknown id walks the tree again,
  // at most every few seconds: names of cgroups that came and went between are not known.
  absl::string_view Path(uint64_t id);

 private:
  void Walk();

  const std::string root_;
  const Clock& clock_;
  absl::flat_hash_map<uint64_t, std::string> paths_;
  int64_t walked_ns_ = INT64_MIN;
};

// The mount point of cgroup2 from /proc/self/mounts; empty if there is none.
std::string Cgroup2Root();

}  // namespace lattice::dp

#endif  // USERSPACE_DP_CGROUP_NAMES_H_
