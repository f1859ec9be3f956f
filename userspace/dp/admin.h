// The admin socket's routes, used by `lattice dp`:
//
//   GET  /v1/status                     state, hooks, policy, tables, records
//   GET  /v1/policy                     the policy in force
//   GET  /v1/flows[?denied][&limit=N]   live flows, or denied attempts
//   GET  /v1/flows?follow[&denied]      records as they are written, one JSON line each, until the client leaves
//   GET  /v1/top?by=flow|service|remote|rule[&limit=N]
//   GET  /v1/doctor                     what only the daemon knows
//   POST /v1/policy/check[?name=FILE]   body: a policy file; changes nothing
//   POST /v1/policy/apply[?name=FILE]   the same, in force until the next reload; answers the receipt
//   POST /v1/detach[?force]             takes everything out of the kernel and ends the daemon
//
// Each takes iface=NAME too: whoever means another interface is refused before anything is done. A client that
// sends none means whatever this daemon has.
//
// An error is text for people: 400 the request or the policy, 409 not in this state, 413 too
// large, 500 the kernel. Main thread.
#ifndef USERSPACE_DP_ADMIN_H_
#define USERSPACE_DP_ADMIN_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/dp/daemon_metrics.h"
#include "userspace/dp/policy_control.h"
#include "userspace/dp/recorder.h"
#include "userspace/dp/state.h"
#include "userspace/http/server.h"

namespace lattice::dp {

class Admin {
 public:
  // Removes the data plane and has the daemon end soon; what was removed, a line each. FailedPrecondition:
  // records would be lost, and that is not wanted (`force`).
  using DetachFunction = std::function<absl::StatusOr<std::vector<std::string>>(bool force)>;

  // All must outlive this.
  Admin(DaemonState& state, PolicyControl& policy, const DaemonMetrics& metrics, DetachFunction detach)
      : state_(state), policy_(policy), metrics_(metrics), detach_(std::move(detach)) {}

  void Serve(http::Server& server);
  // From the recorder, by way of the loop: to everybody who follows.
  void Follow(const std::vector<FollowLine>& lines);

 private:
  struct Follower {
    std::shared_ptr<http::PushStream> stream;
    bool denied_only = false;
    uint64_t missed = 0;
  };
  // Handles a route for those who mean this interface.
  void Route(http::Server& server, const std::string& method, const std::string& path, http::Handler handler);
  http::Response Flows(const http::Request& request);
  http::Response Top(const http::Request& request);
  http::Response StartFollowing(bool denied_only);
  void UpdateFollowing();
  http::Response CheckText(const http::Request& request);
  http::Response ApplyText(const http::Request& request);
  absl::StatusOr<KernelTime> Now() const;

  DaemonState& state_;
  PolicyControl& policy_;
  const DaemonMetrics& metrics_;
  const DetachFunction detach_;
  std::vector<Follower> followers_;
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_ADMIN_H_
