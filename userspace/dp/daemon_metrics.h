// The Prometheus metrics of latticed-dp. What the kernel knows is read from it at each
// scrape; `lattice_dp_enforcing` above all is what the kernel says is attached, not what
// this process once did.
//
// The label iface is "*" for the cgroup hooks, which see every interface. Main thread.
#ifndef USERSPACE_DP_DAEMON_METRICS_H_
#define USERSPACE_DP_DAEMON_METRICS_H_

#include <string>

#include "userspace/datapath/stats.h"
#include "userspace/dp/state.h"
#include "userspace/metrics/registry.h"

namespace lattice::dp {

class DaemonMetrics {
 public:
  // `state` must outlive this.
  explicit DaemonMetrics(const DaemonState& state);

  void PolicyApplied(double seconds) { apply_seconds_->Observe(seconds); }
  void PolicyRefused() { apply_failures_->Increment(); }
  uint64_t policies_refused() const { return apply_failures_->value(); }

  std::string Render() const { return registry_.Render(); }

 private:
  void Declare();
  void DeclareNats();
  void Collect(metrics::Collection& out) const;
  void CollectHooks(metrics::Collection& out) const;
  void CollectTraffic(const datapath::Stats& stats, metrics::Collection& out) const;
  void CollectFlows(const datapath::Stats& stats, metrics::Collection& out) const;
  void CollectRecords(metrics::Collection& out) const;
  void CollectNats(metrics::Collection& out) const;

  const DaemonState& state_;
  metrics::Registry registry_;
  metrics::FamilyId packets_, wire_packets_, bytes_, denied_packets_;
  metrics::FamilyId flows_started_, flows_ended_, table_entries_, table_capacity_, map_errors_, rule_hits_;
  metrics::FamilyId generation_, policy_info_, enforcing_, foreign_, mode_;
  metrics::FamilyId audit_lost_, audit_written_, audit_failing_, audit_errors_, nats_connected_, nats_published_,
      spool_;
  metrics::FamilyId nats_acked_, nats_in_flight_, nats_window_full_, nats_replays_, nats_no_stream_;
  metrics::Histogram* apply_seconds_;
  metrics::Counter* apply_failures_;
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_DAEMON_METRICS_H_
