// The JSON of what passed and what was denied, for the daemon's status and for the one that `lattice dp status` makes
// from the pins alone. Include it in .cc files only: it brings nlohmann-json.
#ifndef USERSPACE_DP_TRAFFIC_JSON_H_
#define USERSPACE_DP_TRAFFIC_JSON_H_

#include <string>

#include "nlohmann/json.hpp"
#include "userspace/datapath/hooks.h"
#include "userspace/datapath/stats.h"
#include "userspace/flow/from_kernel.h"
#include "userspace/flow/names.h"

namespace lattice::dp {

inline nlohmann::ordered_json TrafficJson(const datapath::Stats& stats, bool with_cgroups) {
  nlohmann::ordered_json traffic = nlohmann::ordered_json::array();
  const int hooks = with_cgroups ? LAT_HOOK_COUNT : LAT_HOOK_CGROUP_EGRESS;
  for (int hook = 0; hook < hooks; ++hook) {
    for (int verdict = 0; verdict < LAT_VERDICT_COUNT; ++verdict) {
      const lat_counters& counters = stats.hooks[hook].verdict[verdict];
      traffic.push_back({{"hook", std::string(datapath::HookName(static_cast<lat_hook>(hook)))},
                         {"verdict", std::string(flow::VerdictLabel(static_cast<lat_verdict>(verdict)))},
                         {"packets", counters.packets},
                         {"wirePackets", counters.wire_packets},
                         {"bytes", counters.bytes}});
    }
  }
  return traffic;
}

inline nlohmann::ordered_json DeniedTrafficJson(const datapath::Stats& stats) {
  nlohmann::ordered_json denied = nlohmann::ordered_json::array();
  for (int hook = 0; hook < LAT_HOOK_COUNT; ++hook) {
    for (int reason = 0; reason < LAT_REASON_COUNT; ++reason) {
      const uint64_t packets = stats.hooks[hook].reason_packets[reason];
      const auto kernel = static_cast<lat_reason>(reason);
      if (packets == 0 || !flow::IsDenial(flow::FromKernelReason(kernel))) continue;
      denied.push_back({{"hook", std::string(datapath::HookName(static_cast<lat_hook>(hook)))},
                        {"reason", std::string(flow::ReasonName(kernel))},
                        {"packets", packets}});
    }
  }
  return denied;
}

}  // namespace lattice::dp

#endif  // USERSPACE_DP_TRAFFIC_JSON_H_
