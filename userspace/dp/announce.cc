#include "userspace/dp/announce.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/plural.h"
#include "userspace/nats/connection.h"

namespace lattice::dp {
namespace {

std::string DirectionPart(const DaemonState& state, const datapath::HookStatus& hook) {
  const policy::RuleSet& rules = state.policy.rules;
  const bool egress = hook.hook == LAT_HOOK_TC_EGRESS || hook.hook == LAT_HOOK_CGROUP_EGRESS;
  const bool default_deny = egress ? rules.egress_default_deny : rules.ingress_default_deny;
  return absl::StrCat(egress ? "egress" : "ingress", hook.attached ? " by " : " NOT attached, wanted by ", hook.kind,
                      " (", Plural((egress ? rules.egress : rules.ingress).size(), "rule"), ", default ",
                      default_deny ? "deny" : "allow", ")");
}

const char* Doing(const DaemonState& state, const std::vector<datapath::HookStatus>& hooks) {
  const auto attached = [](const datapath::HookStatus& hook) { return hook.attached; };
  if (!std::all_of(hooks.begin(), hooks.end(), attached)) return "ready, but not in place everywhere yet ";
  return state.options.datapath.mode == LAT_MODE_AUDIT ? "auditing only, nothing is dropped " : "enforcing ";
}

}  // namespace

std::string EnforcementLine(const DaemonState& state, const std::vector<datapath::HookStatus>& hooks) {
  std::vector<std::string> parts;
  std::string target;
  for (const datapath::HookStatus& hook : hooks) {
    const std::string part = DirectionPart(state, hook);
    if (hook.target == target) {
      absl::StrAppend(&parts.back(), ", ", part);
    } else {
      parts.push_back(absl::StrCat("on ", hook.target, ": ", part));
      target = hook.target;
    }
  }
  const datapath::Receipt& receipt = state.datapath->receipt();
  parts.push_back(absl::StrCat("policy generation ", receipt.generation, " from ", state.policy.source, ", ",
                               receipt.hash.substr(0, 12)));
  parts.push_back(absl::StrCat("records to ", state.options.audit.path));
  if (!state.options.nats.urls.empty()) {
    const bool connected = state.sink != nullptr && state.sink->is_connected();
    parts.push_back(absl::StrCat(connected ? "publishing to " : "publishing waits for ", "NATS at ",
                                 nats::RedactUrls(absl::StrJoin(state.options.nats.urls, ","))));
  }
  if (!state.metrics_address.empty())
    parts.push_back(absl::StrCat("metrics at http://", state.metrics_address, "/metrics"));
  if (!state.metrics_problem.empty()) parts.push_back("metrics not served");
  return absl::StrCat(Doing(state, hooks), absl::StrJoin(parts, "; "),
                      state.datapath->adopted() ? "; the tables of an earlier daemon are adopted" : "");
}

std::string RemovalHint(const datapath::Options& options) {
  const std::string pin_path =
      options.pin_path == datapath::kDefaultPinPath ? "" : absl::StrCat(" --pin-path ", options.pin_path);
  return absl::StrCat("`lattice dp detach --iface ", options.iface, pin_path, "`");
}

}  // namespace lattice::dp
