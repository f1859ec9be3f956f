#include "userspace/datapath/pin_owner.h"

#include <glog/logging.h>

#include "absl/strings/str_cat.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/lock.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {

absl::StatusOr<bool> PinsAreOfAnotherNamespace(const std::string& iface, const std::string& pin_path) {
  const std::string folder = PinFolder(pin_path, iface);
  const absl::StatusOr<lat_info> info = ReadPinnedInfo(folder);
  if (absl::IsNotFound(info.status())) return false;
  LATTICE_RETURN_IF_ERROR(info.status());
  LATTICE_ASSIGN_OR_RETURN(const NetNamespace netns, CurrentNetNamespace());
  if (info->netns_cookie == 0 || info->netns_cookie == netns.cookie) return false;
  const absl::StatusOr<UniqueFd> link = OpenPin(absl::StrCat(folder, "/", LinkPinName(HookName(LAT_HOOK_TC_EGRESS))));
  if (link.ok()) {
    LATTICE_ASSIGN_OR_RETURN(const bpf_link_info link_info, LinkInfo(link->get()));
    return TcxInfo(link_info).ifindex != 0;
  }
  if (!absl::IsNotFound(link.status())) return link.status();
  LATTICE_ASSIGN_OR_RETURN(const int holder, InterfaceLock::HolderElsewhere(iface));
  LOG_IF(WARNING, holder == 0) << "the pins in " << folder << " were made in another network namespace, where no "
                               << "latticed-dp runs any more: taken for left over";
  return holder != 0;
}

}  // namespace lattice::datapath
