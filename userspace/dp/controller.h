// The daemon from its flags to its exit code.
//
// The order of a start: everything is checked (preflight.h), the interface is locked, the audit file
// and the ports are opened (the one for metrics may be in use, it is tried again), and only then is something put into
// the kernel: policy, hooks, pins (datapath.h), whether the interface is there already or awaited. After that
// privileges go (privileges.h, seccomp.h), and the threads start:
//
//   main       this class: signals, netlink, admin socket, metrics, policies
//   recorder   rings -> audit file, the sweep (recorder.h)
//   publisher  audit file -> NATS, with the threads of the NATS library (audit/publisher.h)
//
// A failure before anything is in the kernel changes nothing; one after it leaves enforcement as it is.
#ifndef USERSPACE_DP_CONTROLLER_H_
#define USERSPACE_DP_CONTROLLER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/base/event_loop.h"
#include "userspace/datapath/lock.h"
#include "userspace/dp/admin.h"
#include "userspace/dp/daemon_metrics.h"
#include "userspace/dp/exit_code.h"
#include "userspace/dp/interface_watch.h"
#include "userspace/dp/options.h"
#include "userspace/dp/policy_control.h"
#include "userspace/dp/state.h"
#include "userspace/http/server.h"

namespace lattice::dp {

class Controller {
 public:
  explicit Controller(Options options);
  ~Controller();

  // The whole life of the daemon, errors logged.
  ExitCode Run();

 private:
  absl::Status Start();
  absl::Status Claim();
  absl::Status OpenAudit();
  absl::Status LoadSigningKey();
  absl::Status OpenServers();
  absl::Status OpenMetrics();
  void RetryMetrics();
  absl::Status AddSignals();
  absl::Status Attach();
  absl::Status MakePublisher();
  void WatchNats();
  absl::Status StartThreads();
  void TellGap();
  void OnHangup();
  absl::StatusOr<std::vector<std::string>> Detach(bool force);
  bool StopRecords();
  ExitCode Stop();

  DaemonState state_;
  absl::Time last_record_;  // of the daemon before us, about when it ended
  std::unique_ptr<EventLoop> loop_;
  DaemonMetrics metrics_;
  std::unique_ptr<PolicyControl> policy_;
  std::unique_ptr<Admin> admin_;
  std::optional<datapath::InterfaceLock> lock_;
  std::unique_ptr<http::Server> metrics_server_;  // null: not wanted, or its port is in use
  EventLoop::TimerId metrics_retry_ = 0;          // while its port is in use
  std::unique_ptr<http::Server> admin_server_;
  std::unique_ptr<InterfaceWatch> watch_;
  bool nats_connected_ = false;  // as the status line says
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_CONTROLLER_H_
