#include "userspace/datapath/hook.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_abi.h"
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
  std::vector<std::string> notes;
  if (!status->foreign_before.empty()) {
    notes.push_back(absl::StrFormat(
        "in front of ours: %s; what they pass for good never reaches our policy",
        absl::StrJoin(status->foreign_before, ", ", [](std::string* out, const ForeignProgram& program) {
          absl::StrAppendFormat(out, "program %d %s", program.prog_id, program.name);
        })));
  }
  for (const uint32_t id : ids) {
    if (id == own_id || !IsNamedAsOurs(ProgramName(id), status->hook)) continue;
    notes.push_back(absl::StrFormat(
        "program %d is a copy of ours: packets are judged and counted twice; `lattice dp doctor` says what to do", id));
  }
  status->detail = absl::StrJoin(notes, "; ");
}

bool IsNamedAsOurs(absl::string_view program, lat_hook hook) {
  return absl::StrContains(program, HookName(hook));
}

std::vector<uint32_t> TcxPrograms(int ifindex, lat_direction direction) {
  return QueryPrograms(ifindex, direction == LAT_EGRESS ? kTcxEgress : kTcxIngress).value_or(std::vector<uint32_t>());
}

}  // namespace lattice::datapath
