#include "userspace/dp/takeover.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/datapath/pinned_hooks.h"
#include "userspace/dp/cgroup_names.h"

namespace lattice::dp {

absl::StatusOr<Takeover> Takeover::Look(const datapath::Options& options) {
  Takeover takeover(options);
  absl::StatusOr<std::vector<datapath::HookStatus>> hooks = datapath::PinnedHooks(options.iface, options.pin_path);
  if (absl::IsNotFound(hooks.status())) return takeover;
  LATTICE_RETURN_IF_ERROR(hooks.status());
  for (datapath::HookStatus& hook : *hooks) {
    if (hook.enforcing) takeover.enforced_.push_back(std::move(hook));
  }
  return takeover;
}

absl::StatusOr<std::vector<std::string>> Takeover::Ended() const {
  std::vector<std::string> ended;
  if (enforced_.empty()) return ended;
  if (options_->mode == LAT_MODE_AUDIT) {
    ended.push_back(absl::StrCat("dropping on ", options_->iface, ": --mode=audit only records"));
  }
  LATTICE_ASSIGN_OR_RETURN(const std::vector<datapath::HookStatus> now,
                           datapath::PinnedHooks(options_->iface, options_->pin_path));
  const std::string root = Cgroup2Root();
  CgroupNames names(root, RealClock());
  for (const datapath::HookStatus& before : enforced_) {
    const bool stays = std::any_of(now.begin(), now.end(), [&](const datapath::HookStatus& hook) {
      return hook.hook == before.hook && hook.cgroup_id == before.cgroup_id;
    });
    if (stays || before.hook != LAT_HOOK_CGROUP_EGRESS) continue;  // one line for both directions
    ended.push_back(absl::StrCat("judging what the processes of ", root, names.Path(before.cgroup_id),
                                 " send: no --cgroup names it"));
  }
  return ended;
}

}  // namespace lattice::dp
