// The pin folder <pin_path>/<iface>/: one file per map and per link, which is what
// keeps them alive without a daemon. `info` is pinned last, so a folder without it is
// what an interrupted first start left behind, as is one of generation 0. Any thread.
#ifndef USERSPACE_DATAPATH_PINS_H_
#define USERSPACE_DATAPATH_PINS_H_

#include <lattice/abi.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::datapath {

inline constexpr char kInfoPin[] = "info";

// A BPF file system takes no dot in a name, an interface no colon: "wg0.5" has the folder "wg0:5".
std::string PinFolder(const std::string& pin_path, const std::string& iface);
std::string InterfaceOfFolder(absl::string_view name);
std::string LinkPinName(absl::string_view hook);                         // "link_tc_egress"
std::string CgroupLinkPinName(int number, absl::string_view direction);  // "link_cgroup0_egress"
bool IsLinkPin(absl::string_view name);

// Names in the folder, sorted. Empty if there is no folder.
absl::StatusOr<std::vector<std::string>> ListPins(const std::string& folder);

// The `info` map of a folder, whatever its version: an older and shorter one is filled with zeros.
// NotFound: no such pin.
absl::StatusOr<lat_info> ReadPinnedInfo(const std::string& folder);

// A policy is published before anything is attached: these pins never enforced.
inline bool IsInterruptedStart(const lat_info& info) {
  return info.generation == 0;
}

// Makes the folder where it is missing.
absl::Status MakePinFolder(const std::string& folder);
// Pins the link `fd` at `path`, in place of what is there; makes the folder.
absl::Status PinLink(int fd, const std::string& path);

// Unlinks one pin; one that isn't there is fine.
absl::Status RemovePin(const std::string& path);
// Detaches the link behind a pin and unlinks it. Unlinking alone detaches some time later: the kernel drops
// the last reference to a link from a work queue.
absl::Status RemoveLink(const std::string& path);
// Unlinks all pins of the folder and the folder. Goes on after a failure, returns the first.
absl::Status RemovePinFolder(const std::string& folder);

// "…: run `lattice dp detach --iface wg0` first", the remedy of every pin problem.
std::string DetachRemedy(absl::string_view iface, absl::string_view pin_path);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PINS_H_
