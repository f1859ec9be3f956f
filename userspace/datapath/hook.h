// One place in the kernel where one of our programs sits. Three kinds, each in its file:
// tcx.cc, clsact.cc, cgroup_hook.cc. Not thread-safe: Attachments (attachments.h) holds the lock.
#ifndef USERSPACE_DATAPATH_HOOK_H_
#define USERSPACE_DATAPATH_HOOK_H_

#include <lattice/abi.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/hooks.h"

namespace lattice::datapath {

// What goes into a hook. Borrows the program.
struct Program {
  lat_hook hook;
  int fd;
  uint32_t id;
};

class Hook {
 public:
  virtual ~Hook() = default;
  // Makes `program` the one at this hook: replaces an earlier program of ours in one step where there is
  // one, else attaches. Repeating it is harmless. NotFound: the device or cgroup isn't there. Any error but
  // that of a pin, after which the program is attached as long as this process lives.
  virtual absl::Status Attach() = 0;
  // What the kernel says now. `enforcing` is left to the caller.
  virtual HookStatus Query() const = 0;
  // Pins the link again if somebody removed the pin; whether that was so.
  virtual absl::StatusOr<bool> RestorePin() = 0;
  // Takes away what Attach made.
  virtual absl::Status Detach() = 0;
};

// `pin`: the path of the link's pin.
std::unique_ptr<Hook> MakeTcxHook(const Program& program, const std::string& iface, const std::string& pin);
std::unique_ptr<Hook> MakeClsactHook(const Program& program, const std::string& iface);

// A folder of a cgroup2 hierarchy, open, so that it stays the one that was checked.
struct Cgroup {
  std::string path;  // canonical
  uint64_t id = 0;
  UniqueFd fd;
};
// NotFound: no such folder; InvalidArgument: not of cgroup2.
absl::StatusOr<Cgroup> OpenCgroup(const std::string& path);
std::unique_ptr<Hook> MakeCgroupHook(const Program& program, Cgroup cgroup, const std::string& pin);

// The ifindex of `iface`; NotFound.
absl::StatusOr<int> InterfaceIndex(const std::string& iface);

// Fills position, chain_length, foreign_before and detail of `status` from the ids in a chain.
void DescribeChain(const std::vector<uint32_t>& ids, uint32_t own_id, HookStatus* status);

// Whether a program has the name of ours at this hook: if it isn't ours it is a copy that somebody left.
bool IsNamedAsOurs(absl::string_view program, lat_hook hook);

// They run before every clsact filter. Empty where the kernel has no tcx.
std::vector<uint32_t> TcxPrograms(int ifindex, lat_direction direction);

struct ClsactFilter {
  uint32_t prog_id = 0;  // 0: no BPF filter
  std::string name;      // of the program, or the kind of classifier
  uint32_t priority = 0;
  bool ours = false;
};
// The filters of one direction in the order in which they run. Empty also where there is no clsact.
absl::StatusOr<std::vector<ClsactFilter>> ListClsactFilters(int ifindex, lat_direction direction);
// Removes our filter. Returns whether there was one.
absl::StatusOr<bool> RemoveClsactFilter(int ifindex, lat_direction direction);
// Removes the clsact qdisc if nobody has a filter in it. Returns whether it was there and is gone.
absl::StatusOr<bool> RemoveEmptyClsact(int ifindex);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_HOOK_H_
