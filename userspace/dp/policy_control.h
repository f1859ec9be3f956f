// Puts policies in force and tells of it: log, metrics, a `policy` record, the service manager.
// The promise: a policy that can't be taken changes nothing. Main thread.
#ifndef USERSPACE_DP_POLICY_CONTROL_H_
#define USERSPACE_DP_POLICY_CONTROL_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/event_loop.h"
#include "userspace/datapath/options.h"
#include "userspace/dp/daemon_metrics.h"
#include "userspace/dp/policy_source.h"
#include "userspace/dp/state.h"

namespace lattice::dp {

// What a policy would become, without putting it in force.
struct CheckReport {
  size_t egress_rules = 0;
  size_t ingress_rules = 0;
  std::string hash;
  size_t prefixes = 0;
  uint64_t bytes = 0;
  std::string lookup;  // "flat" or "lpm"
  std::vector<std::string> warnings;
};

// `memory_bytes` is --policy-memory. InvalidArgument, or ResourceExhausted over the budget.
absl::StatusOr<CheckReport> CheckPolicy(const LoadedPolicy& policy, uint64_t memory_bytes);

class PolicyControl {
 public:
  // All must outlive this.
  PolicyControl(EventLoop& loop, DaemonState& state, DaemonMetrics& metrics, PolicySource source)
      : loop_(loop), state_(state), metrics_(metrics), source_(std::move(source)) {}

  const PolicySource& source() const { return source_; }

  // SIGHUP: flags and file again.
  absl::Status Reload();
  // The admin socket: `text` is the whole policy until the next reload.
  absl::StatusOr<datapath::Receipt> ApplyText(absl::string_view text, const std::string& name,
                                              std::vector<std::string>* warnings);
  absl::StatusOr<CheckReport> Check(absl::string_view text, const std::string& name) const;

  // state.datapath has just published state.policy.
  void Published();
  // The audit file: with --audit-disk-full=deny everything is denied while it can't be written.
  void DiskFailing(bool failing);

 private:
  absl::Status Apply(LoadedPolicy policy);
  absl::Status Publish(const policy::RuleSet& rules);
  void FollowDisk();
  bool closed() const;

  EventLoop& loop_;
  DaemonState& state_;
  DaemonMetrics& metrics_;
  const PolicySource source_;
  bool denying_ = false;  // what is in force is DenyEverything
};

// A WARNING line for each of policy.warnings.
void LogWarnings(const LoadedPolicy& policy);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_POLICY_CONTROL_H_
