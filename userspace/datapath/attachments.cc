#include "userspace/datapath/attachments.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/programs.h"

namespace lattice::datapath {
namespace {

// The first of hooks_, in this order.
constexpr std::array<lat_hook, 2> kTcHooks = {LAT_HOOK_TC_EGRESS, LAT_HOOK_TC_INGRESS};
// Of every network namespace.
constexpr int kLoopbackIndex = 1;

Program ProgramOf(const Programs& programs, lat_hook hook) {
  return {hook, programs.program_fd(hook), programs.program_id(hook)};
}

absl::Status CheckNotNested(const std::vector<Cgroup>& cgroups) {
  for (const Cgroup& outer : cgroups) {
    for (const Cgroup& inner : cgroups) {
      if (&inner == &outer) continue;
      if (inner.path == outer.path) {
        return absl::InvalidArgumentError(absl::StrCat("--cgroup ", inner.path, " is given twice"));
      }
      if (absl::StartsWith(inner.path, absl::StrCat(outer.path, "/"))) {
        return absl::InvalidArgumentError(
            absl::StrFormat("--cgroup %s is inside --cgroup %s: every packet would be judged and counted twice; give "
                            "only the outer one",
                            inner.path, outer.path));
      }
    }
  }
  return absl::OkStatus();
}

// The numbers N of the pins link_cgroup<N>_… by the id of the cgroup they hold.
absl::StatusOr<std::map<uint64_t, int>> PinnedCgroups(const std::string& folder) {
  std::map<uint64_t, int> numbers;
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder));
  for (const std::string& name : names) {
    int number = 0;
    if (sscanf(name.c_str(), "link_cgroup%d_", &number) != 1) continue;
    LATTICE_ASSIGN_OR_RETURN(const UniqueFd link, OpenPin(absl::StrCat(folder, "/", name)));
    LATTICE_ASSIGN_OR_RETURN(const bpf_link_info info, LinkInfo(link.get()));
    // Id 0: the cgroup is gone; its pin is removed with the unwanted ones.
    if (info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id != 0) numbers[info.cgroup.cgroup_id] = number;
  }
  return numbers;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Attachments>> Attachments::Create(const Options& options, const Programs& programs,
                                                                 const std::string& folder) {
  std::unique_ptr<Attachments> attachments(new Attachments(options, folder));
  LATTICE_RETURN_IF_ERROR(attachments->AddTcHooks(programs));
  LATTICE_RETURN_IF_ERROR(attachments->AddCgroupHooks(programs));
  return attachments;
}

absl::Status Attachments::AddTcHooks(const Programs& programs) {
  tcx_ = options_.tc_kind != TcKind::kClsact && HasTcx(kLoopbackIndex);
  if (options_.tc_kind == TcKind::kTcx && !tcx_) {
    return absl::FailedPreconditionError(absl::StrCat("this kernel has no ", kNeedsTcx));
  }
  if (tcx_) wanted_pins_ = {LinkPinName(HookName(LAT_HOOK_TC_EGRESS)), LinkPinName(HookName(LAT_HOOK_TC_INGRESS))};
  hooks_.resize(kTcHooks.size());
  UseTcPrograms(programs);
  return absl::OkStatus();
}

void Attachments::UseTcPrograms(const Programs& programs) {
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < kTcHooks.size(); ++i) {
    const Program program = ProgramOf(programs, kTcHooks[i]);
    hooks_[i] = tcx_ ? MakeTcxHook(program, options_.iface, absl::StrCat(folder_, "/", wanted_pins_[i]))
                     : MakeClsactHook(program, options_.iface);
  }
}

absl::Status Attachments::AddCgroupHooks(const Programs& programs) {
  std::vector<Cgroup> cgroups;
  for (const std::string& path : options_.cgroups) {
    LATTICE_ASSIGN_OR_RETURN(Cgroup cgroup, OpenCgroup(path));
    cgroups.push_back(std::move(cgroup));
  }
  LATTICE_RETURN_IF_ERROR(CheckNotNested(cgroups));
  LATTICE_ASSIGN_OR_RETURN(const auto pinned, PinnedCgroups(folder_));
  std::set<int> taken;
  for (const auto& [id, number] : pinned) taken.insert(number);
  absl::MutexLock lock(&mutex_);
  for (Cgroup& cgroup : cgroups) {
    const auto found = pinned.find(cgroup.id);
    int number = 0;
    if (found != pinned.end()) {
      number = found->second;
    } else {
      while (!taken.insert(number).second) ++number;
    }
    for (const lat_hook hook : {LAT_HOOK_CGROUP_EGRESS, LAT_HOOK_CGROUP_INGRESS}) {
      LATTICE_ASSIGN_OR_RETURN(Cgroup own, OpenCgroup(cgroup.path));
      wanted_pins_.push_back(CgroupLinkPinName(number, hook == LAT_HOOK_CGROUP_EGRESS ? "egress" : "ingress"));
      hooks_.push_back(
          MakeCgroupHook(ProgramOf(programs, hook), std::move(own), absl::StrCat(folder_, "/", wanted_pins_.back())));
    }
  }
  return absl::OkStatus();
}

absl::Status Attachments::Attach() {
  LATTICE_RETURN_IF_ERROR(AttachHooks(/*only_missing=*/false, /*device_may_be_away=*/options_.wait_iface));
  return RemoveUnwanted();
}

absl::Status Attachments::Reattach() {
  return AttachHooks(/*only_missing=*/true, /*device_may_be_away=*/true);
}

absl::Status Attachments::AttachHooks(bool only_missing, bool device_may_be_away) {
  absl::Status first;
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < hooks_.size(); ++i) {
    if (only_missing && hooks_[i]->Query().attached) continue;
    const absl::Status attached = hooks_[i]->Attach();
    const bool away = i < kTcHooks.size() && absl::IsNotFound(InterfaceIndex(options_.iface).status());
    if (!away || !device_may_be_away) first.Update(attached);
  }
  return first;
}

absl::StatusOr<bool> Attachments::RestorePins() {
  bool restored = false;
  absl::MutexLock lock(&mutex_);
  for (const auto& hook : hooks_) {
    LATTICE_ASSIGN_OR_RETURN(const bool one, hook->RestorePin());
    restored = restored || one;
  }
  return restored;
}

absl::Status Attachments::RemoveUnwanted() {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder_));
  for (const std::string& name : names) {
    const bool wanted = std::find(wanted_pins_.begin(), wanted_pins_.end(), name) != wanted_pins_.end();
    if (IsLinkPin(name) && !wanted) LATTICE_RETURN_IF_ERROR(RemoveLink(absl::StrCat(folder_, "/", name)));
  }
  if (!tcx_) return absl::OkStatus();
  const absl::StatusOr<int> ifindex = InterfaceIndex(options_.iface);
  if (absl::IsNotFound(ifindex.status())) return absl::OkStatus();  // filters go with their device
  LATTICE_RETURN_IF_ERROR(ifindex.status());
  bool removed = false;
  for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
    LATTICE_ASSIGN_OR_RETURN(const bool one, RemoveClsactFilter(*ifindex, direction));
    removed = removed || one;
  }
  if (!removed) return absl::OkStatus();
  return RemoveEmptyClsact(*ifindex).status();
}

std::vector<HookStatus> Attachments::Query() const {
  std::vector<HookStatus> result;
  absl::MutexLock lock(&mutex_);
  for (const auto& hook : hooks_) result.push_back(hook->Query());
  return result;
}

absl::Status Attachments::Detach() {
  absl::Status first;
  absl::MutexLock lock(&mutex_);
  for (const auto& hook : hooks_) first.Update(hook->Detach());
  if (const absl::StatusOr<int> ifindex = InterfaceIndex(options_.iface); !tcx_ && ifindex.ok()) {
    first.Update(RemoveEmptyClsact(*ifindex).status());
  }
  return first;
}

}  // namespace lattice::datapath
