#include "userspace/dp/interface_watch.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/dp/announce.h"
#include "userspace/dp/notify.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::dp {
namespace {

constexpr absl::Duration kCheckPeriod = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<InterfaceWatch>> InterfaceWatch::Create(EventLoop& loop, DaemonState& state,
                                                                       std::function<void()> on_appear) {
  auto watch = absl::WrapUnique(new InterfaceWatch(loop, state, std::move(on_appear)));
  InterfaceWatch* const raw = watch.get();
  LATTICE_ASSIGN_OR_RETURN(watch->monitor_, netlink::LinkMonitor::Create());
  LATTICE_RETURN_IF_ERROR(loop.AddFd(watch->monitor_->fd(), EPOLLIN, [raw](uint32_t) { raw->OnEvents(); }));
  watch->timer_ = loop.AddTimer(kCheckPeriod, [raw] { raw->Check(); });
  watch->in_place_ = RealClock().Now();
  return watch;
}

InterfaceWatch::~InterfaceWatch() {
  loop_.RemoveTimer(timer_);
  if (monitor_ != nullptr) loop_.RemoveFd(monitor_->fd());
}

void InterfaceWatch::OnEvents() {
  bool ours = false;
  const absl::Status drained = monitor_->Drain(
      [&](const netlink::LinkEvent& event) { ours = ours || event.overrun || event.name == state_.options.iface(); });
  if (!drained.ok()) LOG(ERROR) << "interface events: " << drained.message();
  if (ours || !drained.ok()) Check();
}

void InterfaceWatch::Check() {
  if (state_.detached) return;
  if (state_.datapath == nullptr) return on_appear_();
  KeepPinned();
  std::string missing = Missing();
  if (missing.empty() && !missing_.has_value()) {
    in_place_ = RealClock().Now();
    return;
  }
  if (!missing.empty()) {
    Lost(missing);
    const absl::Status attached = state_.datapath->Reattach();
    missing = Missing();
    if (!attached.ok() && !absl::IsNotFound(attached)) {
      if (const auto suppressed = failure_log_.Admit(RealClock().MonotonicNs())) {
        LOG(ERROR) << (missing.empty() ? "attached again, but: " : "NOT ENFORCING, tried again every second: ")
                   << attached.message() << " (" << *suppressed << " more such failures)";
      }
    }
  }
  if (missing.empty()) Regained();
}

void InterfaceWatch::KeepPinned() {
  const absl::StatusOr<bool> restored = state_.datapath->RestorePins();
  if (restored.ok() && !*restored) return;
  const auto suppressed = pin_log_.Admit(RealClock().MonotonicNs());
  if (!suppressed) return;
  if (restored.ok()) {
    LOG(WARNING) << "somebody removed pins in " << state_.datapath->pin_folder() << ", they are made again; "
                 << RemovalHint(state_.options.datapath) << " is the way to end enforcement (" << *suppressed
                 << " more times)";
  } else {
    LOG(ERROR) << "pins are missing, enforcement ends with this process, tried again every second: "
               << restored.status().message() << " (" << *suppressed << " more such failures)";
  }
}

// The hooks that are not in place, as words; empty: all are.
std::string InterfaceWatch::Missing() const {
  std::vector<std::string> missing;
  for (const datapath::HookStatus& hook : state_.datapath->Hooks()) {
    if (!hook.attached) missing.push_back(absl::StrCat(datapath::HookName(hook.hook), " of ", hook.target));
  }
  return absl::StrJoin(missing, ", ");
}

void InterfaceWatch::Lost(const std::string& missing) {
  if (missing_ == missing) return;
  missing_ = missing;
  LOG(WARNING) << "NOT ENFORCING: " << missing << ": not in place; attaching again as soon as possible";
  NotifyStatus(absl::StrCat("not enforcing: ", missing));
}

void InterfaceWatch::Regained() {
  const absl::Time now = RealClock().Now();
  LOG(WARNING) << "enforcing again on " << state_.options.iface() << "; packets may have passed unjudged since "
               << absl::FormatTime(in_place_, absl::UTCTimeZone());
  flow::FlowRecord gap =
      flow::LossRecord(state_.recorder->NewContext(), RealClock(), kStageUnenforced, /*count=*/0, in_place_, now);
  state_.recorder->Add(std::move(gap));
  NotifyStatus(absl::StrCat("enforcing again on ", state_.options.iface()));
  missing_ = std::nullopt;
  in_place_ = now;
}

}  // namespace lattice::dp
