#include "userspace/dp/interface_watch.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/clock.h"
#include "userspace/base/notify.h"
#include "userspace/base/status.h"
#include "userspace/dp/announce.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::dp {
namespace {

constexpr absl::Duration kCheckPeriod = absl::Seconds(1);

bool OnInterface(const datapath::HookStatus& hook) {
  return hook.hook == LAT_HOOK_TC_EGRESS || hook.hook == LAT_HOOK_TC_INGRESS;
}

}  // namespace

absl::StatusOr<std::unique_ptr<InterfaceWatch>> InterfaceWatch::Create(EventLoop& loop, DaemonState& state) {
  auto watch = absl::WrapUnique(new InterfaceWatch(loop, state));
  InterfaceWatch* const raw = watch.get();
  LATTICE_ASSIGN_OR_RETURN(watch->monitor_, netlink::LinkMonitor::Create());
  LATTICE_RETURN_IF_ERROR(loop.AddFd(watch->monitor_->fd(), EPOLLIN, [raw](uint32_t) { raw->OnEvents(); }));
  watch->timer_ = loop.AddTimer(kCheckPeriod, [raw] { raw->Check(); });
  watch->judged_until_ = RealClock().Now();
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
  KeepPinned();
  TellChanges();
  std::vector<datapath::HookStatus> missing = Missing();
  if (missing.empty() && !missing_.has_value()) {
    judged_until_ = RealClock().Now();
    return;
  }
  if (!missing.empty()) {
    Lost(missing);
    const absl::Status attached = state_.datapath->Reattach();
    missing = Missing();
    if (absl::IsNotFound(attached) && std::all_of(missing.begin(), missing.end(), OnInterface)) {
      judged_until_ = RealClock().Now();  // nothing crosses an interface that isn't there
    } else if (!attached.ok()) {
      Failed(attached, missing.empty());
    }
  }
  if (missing.empty()) Regained();
}

// A program that is put in front of ours may hide packets from it.
void InterfaceWatch::TellChanges() {
  for (const datapath::HookStatus& hook : state_.datapath->Hooks()) {
    if (!hook.attached) continue;  // Lost says so
    const std::string place = absl::StrCat(datapath::HookName(hook.hook), " of ", hook.target);
    std::string& told = told_[place];
    if (told == hook.detail) continue;
    told = hook.detail;
    if (told.empty()) {
      LOG(INFO) << place << ": nothing stands in front of our program any more";
    } else {
      LOG(WARNING) << place << ": " << told;
    }
  }
}

void InterfaceWatch::Failed(const absl::Status& attached, bool in_place) {
  const auto suppressed = failure_log_.Admit(RealClock().MonotonicNs());
  if (!suppressed) return;
  LOG(ERROR) << (in_place ? "attached again, but: " : "NOT ENFORCING, tried again every second: ") << attached.message()
             << " (" << *suppressed << " more such failures)";
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

std::vector<datapath::HookStatus> InterfaceWatch::Missing() const {
  std::vector<datapath::HookStatus> missing;
  for (datapath::HookStatus& hook : state_.datapath->Hooks()) {
    if (!hook.attached) missing.push_back(std::move(hook));
  }
  return missing;
}

void InterfaceWatch::Lost(const std::vector<datapath::HookStatus>& missing) {
  const std::string words = absl::StrJoin(missing, ", ", [](std::string* out, const datapath::HookStatus& hook) {
    absl::StrAppend(out, datapath::HookName(hook.hook), " of ", hook.target, " (", hook.detail, ")");
  });
  if (missing_ == words) return;
  missing_ = words;
  LOG(WARNING) << "NOT ENFORCING: not in place: " << words << "; attaching as soon as possible";
  NotifyStatus(absl::StrCat("not enforcing: ", words));
}

void InterfaceWatch::Regained() {
  const absl::Time now = RealClock().Now();
  LOG(WARNING) << "in place on " << state_.options.iface() << "; packets may have passed unjudged since "
               << absl::FormatTime(judged_until_, absl::UTCTimeZone());
  state_.recorder->Add(
      flow::LossRecord(state_.recorder->NewContext(), RealClock(), kStageUnenforced, /*count=*/0, judged_until_, now));
  const std::string line = EnforcementLine(state_, state_.datapath->Hooks());
  LOG(INFO) << line;
  NotifyStatus(line);
  missing_ = std::nullopt;
  judged_until_ = now;
}

}  // namespace lattice::dp
