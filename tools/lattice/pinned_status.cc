#include "tools/lattice/pinned_status.h"

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "userspace/base/status.h"
#include "userspace/datapath/pinned_hooks.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/read_stats.h"
#include "userspace/dp/hook_json.h"
#include "userspace/dp/traffic_json.h"
#include "userspace/flow/names.h"

namespace lattice::cli {
namespace {

template <size_t N>
std::string Text(const char (&text)[N]) {
  return std::string(text, strnlen(text, N));
}

}  // namespace

absl::StatusOr<std::string> PinnedStatus(const std::string& iface, const std::string& pin_path) {
  const std::string folder = datapath::PinFolder(pin_path, iface);
  const absl::StatusOr<lat_info> info = datapath::ReadPinnedInfo(folder);
  if (absl::IsNotFound(info.status())) {
    return absl::NotFoundError(absl::StrCat("nothing is enforced on ", iface, ": no pins in ", folder));
  }
  LATTICE_RETURN_IF_ERROR(info.status());
  LATTICE_ASSIGN_OR_RETURN(const std::vector<datapath::HookStatus> hooks, datapath::PinnedHooks(iface, pin_path));
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  bool attached = !hooks.empty();
  for (const datapath::HookStatus& hook : hooks) {
    attached = attached && hook.attached;
    list.push_back(dp::HookJson(hook));
  }
  nlohmann::ordered_json json = {
      {"state", attached ? "enforced by pins" : "not enforcing"},
      {"iface", iface},
      {"mode", std::string(flow::ModeName(info->mode))},
      {"hooks", std::move(list)},
      {"policy", {{"generation", info->generation}, {"hash", Text(info->policy_hash)}, {"rules", info->rules}}},
      {"version", Text(info->version)},
      {"pins", folder}};
  // Another version's counters have other places.
  if (info->abi_version == LATTICE_ABI_VERSION) {
    LATTICE_ASSIGN_OR_RETURN(const datapath::Stats stats, datapath::ReadPinnedCounters(folder));
    json["traffic"] = dp::TrafficJson(stats, /*with_cgroups=*/hooks.size() > 2);
    json["denied"] = dp::DeniedTrafficJson(stats);
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace lattice::cli
