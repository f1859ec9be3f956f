// Keeps the programs on the interface: attaches within one event when it comes or was made anew, and once a second asks
// the kernel whether everything is still in place and pinned.
//
// What stands in front of a program of ours is logged when it changes.
//
// While a hook is missing nothing is assumed: the log warns, `lattice_dp_enforcing` is 0 (it
// asks the kernel itself), and when the hook is back a loss record of stage "unenforced" says
// between which times packets may have passed unjudged. Main thread.
#ifndef USERSPACE_DP_INTERFACE_WATCH_H_
#define USERSPACE_DP_INTERFACE_WATCH_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/rate_limit.h"
#include "userspace/dp/state.h"
#include "userspace/netlink/link_monitor.h"

namespace lattice::dp {

// Stage of the loss record; its count is 0, nobody counted.
inline constexpr absl::string_view kStageUnenforced = "unenforced";

class InterfaceWatch {
 public:
  // Both must outlive this. state.datapath and state.recorder must be there when the loop runs.
  static absl::StatusOr<std::unique_ptr<InterfaceWatch>> Create(EventLoop& loop, DaemonState& state);
  ~InterfaceWatch();

  // Puts back what is missing now.
  void Check();

 private:
  InterfaceWatch(EventLoop& loop, DaemonState& state) : loop_(loop), state_(state) {}
  void OnEvents();
  void KeepPinned();
  void TellChanges();
  std::vector<datapath::HookStatus> Missing() const;
  void Failed(const absl::Status& attached, bool in_place);
  void Lost(const std::vector<datapath::HookStatus>& missing);
  void Regained();

  EventLoop& loop_;
  DaemonState& state_;
  std::unique_ptr<netlink::LinkMonitor> monitor_;
  EventLoop::TimerId timer_ = 0;
  absl::Time judged_until_;                  // when all hooks were last seen there, or no interface
  std::optional<std::string> missing_;       // what is told to be missing
  std::map<std::string, std::string> told_;  // what was logged of each hook in place
  RateLimit failure_log_{absl::Seconds(30)};
  RateLimit pin_log_{absl::Seconds(30)};
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_INTERFACE_WATCH_H_
