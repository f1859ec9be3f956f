#include "userspace/datapath/hook.h"

#include <algorithm>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {

absl::string_view HookName(lat_hook hook) {
  constexpr absl::string_view kNames[LAT_HOOK_COUNT] = {"tc_egress", "tc_ingress", "cgroup_egress", "cgroup_ingress"};
  return kNames[hook];
}

absl::StatusOr<int> InterfaceIndex(const std::string& iface) {
  LATTICE_ASSIGN_OR_RETURN(const NetDevice device, LookupNetDevice(iface));
  return device.ifindex;
}

void DescribeChain(const std::vector<uint32_t>& ids, uint32_t own_id, HookStatus* status) {
  status->chain_length = static_cast<int>(ids.size());
  status->prog_id = own_id;
  const auto own = std::find(ids.begin(), ids.end(), own_id);
  if (own == ids.end()) {
    status->prog_id = 0;
    status->detail = absl::StrFormat("our program is not attached to %s", status->target);
    return;
  }
  status->attached = true;
  status->position = static_cast<int>(own - ids.begin());
  for (auto id = ids.begin(); id != own; ++id) status->foreign_before.push_back({*id, ProgramName(*id)});
  if (status->foreign_before.empty()) return;
  status->detail =
      absl::StrFormat("in front of ours: %s; what they pass for good never reaches our policy",
                      absl::StrJoin(status->foreign_before, ", ", [](std::string* out, const ForeignProgram& program) {
                        absl::StrAppendFormat(out, "program %d %s", program.prog_id, program.name);
                      }));
}

}  // namespace lattice::datapath
