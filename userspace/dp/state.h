// What the daemon's main-thread parts (controller, admin socket, metrics) look at
// together. All of it is there once the event loop runs. Owned by the controller; main
// thread only, but for the members that say otherwise in their own headers.
#ifndef USERSPACE_DP_STATE_H_
#define USERSPACE_DP_STATE_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "userspace/audit/audit_file.h"
#include "userspace/audit/publisher.h"
#include "userspace/datapath/datapath.h"
#include "userspace/dp/nats_sink.h"
#include "userspace/dp/options.h"
#include "userspace/dp/policy_source.h"
#include "userspace/dp/recorder.h"

namespace lattice::dp {

struct DaemonState {
  explicit DaemonState(Options daemon_options) : options(std::move(daemon_options)) {}

  const Options options;
  absl::Time started;
  std::string metrics_address;  // with the actual port; empty: none
  std::string metrics_problem;  // why there are none though they are wanted

  LoadedPolicy policy;  // in force
  absl::Time policy_applied;

  // The audit file cannot be written; with --audit-disk-full=deny everything is denied meanwhile.
  bool disk_failing = false;
  bool detached = false;

  std::shared_ptr<const audit::SigningKey> signing_key;

  // In the order of use: what is below uses what is above, and goes first.
  std::unique_ptr<datapath::Datapath> datapath;
  std::unique_ptr<NatsSink> sink;               // null without --nats-url
  std::unique_ptr<audit::Publisher> publisher;  // as sink
  std::unique_ptr<audit::AuditFile> audit;      // until the recorder takes it
  std::unique_ptr<Recorder> recorder;

  const audit::AuditFileCounters& audit_counters() const { return recorder->audit_counters(); }
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_STATE_H_
