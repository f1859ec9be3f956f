#include "userspace/datapath/pinned_hooks.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"

namespace lattice::datapath {
namespace {

HookStatus Tcx(const std::string& iface, const std::string& pin, lat_hook hook) {
  HookStatus status;
  status.hook = hook;
  status.target = iface;
  status.kind = "tcx";
  const auto ifindex = InterfaceIndex(iface);
  const absl::StatusOr<UniqueFd> link = OpenPin(pin);
  const absl::StatusOr<bpf_link_info> info = link.ok() ? LinkInfo(link->get()) : link.status();
  if (!info.ok() || !ifindex.ok()) {
    status.detail = std::string((info.ok() ? ifindex.status() : info.status()).message());
    return status;
  }
  status.prog_id = info->prog_id;
  if (TcxInfo(*info).ifindex != static_cast<uint32_t>(*ifindex)) {
    status.detail = absl::StrCat("the link is not on ", iface, " as it is now");
    return status;
  }
  const auto ids = QueryPrograms(*ifindex, hook == LAT_HOOK_TC_EGRESS ? kTcxEgress : kTcxIngress);
  if (!ids.ok()) {
    status.detail = std::string(ids.status().message());
    return status;
  }
  status.attached = std::find(ids->begin(), ids->end(), info->prog_id) != ids->end();
  DescribeChain(*ids, info->prog_id, &status);
  return status;
}

HookStatus Clsact(const std::string& iface, lat_hook hook) {
  HookStatus status;
  status.hook = hook;
  status.target = iface;
  status.kind = "clsact";
  const auto ifindex = InterfaceIndex(iface);
  if (!ifindex.ok()) {
    status.detail = std::string(ifindex.status().message());
    return status;
  }
  const lat_direction direction = hook == LAT_HOOK_TC_EGRESS ? LAT_EGRESS : LAT_INGRESS;
  for (const uint32_t id : TcxPrograms(*ifindex, direction)) status.foreign_before.push_back({id, ProgramName(id)});
  const auto filters = ListClsactFilters(*ifindex, direction);
  if (!filters.ok()) {
    status.detail = std::string(filters.status().message());
    return status;
  }
  status.chain_length = static_cast<int>(status.foreign_before.size() + filters->size());
  for (const ClsactFilter& filter : *filters) {
    if (filter.ours) {
      status.attached = true;
      status.prog_id = filter.prog_id;
      status.position = static_cast<int>(status.foreign_before.size());
      break;
    }
    status.foreign_before.push_back({filter.prog_id, filter.name});
  }
  if (!status.attached) status.detail = absl::StrCat("neither a tcx link nor a clsact filter of ours on ", iface);
  return status;
}

HookStatus CgroupLink(const std::string& pin, lat_hook hook) {
  HookStatus status;
  status.hook = hook;
  status.kind = "cgroup";
  status.target = "a cgroup";
  const absl::StatusOr<UniqueFd> link = OpenPin(pin);
  const absl::StatusOr<bpf_link_info> info = link.ok() ? LinkInfo(link->get()) : link.status();
  if (!info.ok()) {
    status.detail = std::string(info.status().message());
    return status;
  }
  status.prog_id = info->prog_id;
  status.attached = info->cgroup.cgroup_id != 0;
  status.cgroup_id = info->cgroup.cgroup_id;
  status.target = absl::StrCat("cgroup ", status.cgroup_id);
  if (!status.attached) status.detail = "the cgroup is gone";
  return status;
}

}  // namespace

absl::StatusOr<std::vector<HookStatus>> PinnedHooks(const std::string& iface, const std::string& pin_path) {
  const std::string folder = PinFolder(pin_path, iface);
  LATTICE_ASSIGN_OR_RETURN(const lat_info info, ReadPinnedInfo(folder));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder));
  std::vector<HookStatus> hooks;
  for (const lat_hook hook : {LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS}) {
    const std::string pin = LinkPinName(HookName(hook));
    const bool pinned = std::find(names.begin(), names.end(), pin) != names.end();
    hooks.push_back(pinned ? Tcx(iface, absl::StrCat(folder, "/", pin), hook) : Clsact(iface, hook));
  }
  for (const std::string& name : names) {
    if (!absl::StartsWith(name, "link_cgroup")) continue;
    const lat_hook hook = absl::EndsWith(name, "_egress") ? LAT_HOOK_CGROUP_EGRESS : LAT_HOOK_CGROUP_INGRESS;
    hooks.push_back(CgroupLink(absl::StrCat(folder, "/", name), hook));
  }
  const bool in_force = info.generation != 0 && info.mode == LAT_MODE_ENFORCE;
  for (HookStatus& hook : hooks) hook.enforcing = hook.attached && in_force;
  return hooks;
}

}  // namespace lattice::datapath
