#include "userspace/dp/health.h"

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace lattice::dp {
namespace {

// The recorder turns once a second; a slow disk may hold one write for some.
constexpr int64_t kStuckNs = 30'000'000'000;

}  // namespace

Reasons LivenessProblems(const DaemonState& state, int64_t now_ns) {
  const int64_t alive_ns = state.recorder->counters().alive_ns;
  if (now_ns - alive_ns < kStuckNs) return {};
  return {absl::StrCat("the recorder has been stuck for ", (now_ns - alive_ns) / 1'000'000'000, " s")};
}

Reasons ReadinessProblems(const DaemonState& state, int64_t now_ns) {
  Reasons reasons = LivenessProblems(state, now_ns);
  const bool audit_mode = state.options.datapath.mode == LAT_MODE_AUDIT;
  for (const datapath::HookStatus& hook : state.datapath->Hooks()) {
    if (hook.attached && (hook.enforcing || audit_mode)) continue;
    reasons.push_back(absl::StrCat(datapath::HookName(hook.hook), " of ", hook.target, " is not in place",
                                   hook.detail.empty() ? "" : ": ", hook.detail));
  }
  if (state.disk_failing)
    reasons.push_back(absl::StrCat("the audit file cannot be written: ", state.options.audit.path));
  if (state.detached) reasons.push_back("detached, about to end");
  return reasons;
}

}  // namespace lattice::dp
