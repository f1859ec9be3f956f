// A sandbox's talk with its control plane, on a thread of its own, because its calls block: the configuration every 15
// s and whenever the control plane says so, a heartbeat every 30 s. A control plane that is away is asked again and
// again, and what it said last stays in force.
#ifndef TOOLS_LATTICE_SANDBOX_CONTROL_H_
#define TOOLS_LATTICE_SANDBOX_CONTROL_H_

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "tools/lattice/agent_access.h"
#include "userspace/base/event_loop.h"
#include "userspace/control/registry/netmap.h"

namespace lattice::cli {

class SandboxControl {
 public:
  // On the thread of `loop` of the constructor.
  struct Events {
    std::function<void(const control::AgentConfig&)> on_config;
    // The control plane has said that this agent is not one any more.
    std::function<void(const absl::Status&)> on_final;
    // For people; each once until it changes.
    std::function<void(const std::string&)> on_warning;
  };

  // `control`: of Enter(); null: to be entered, because it was away. `server` and `loop` must outlive it.
  SandboxControl(EventLoop& loop, const ServerClient& server, AccessOptions options, AgentAccess access,
                 std::unique_ptr<AgentControl> control, Events events);
  // Waits for the call that is under way.
  ~SandboxControl();

  absl::Status Start();

 private:
  absl::Status Prepare();
  void TryEnter();
  void WatchPokes();
  void Pull();
  void Beat();
  void Warn(const std::vector<std::string>& warnings);
  void Final(const absl::Status& status);

  EventLoop& main_;
  const ServerClient& server_;
  const AccessOptions options_;
  AgentAccess access_;
  std::unique_ptr<AgentControl> control_;
  const Events events_;
  std::unique_ptr<EventLoop> loop_;
  std::vector<std::string> warned_;
  bool pull_soon_ = false;
  std::thread thread_;
};

// What a start without the control plane goes by.
struct LastNetMap {
  control::AgentConfig config;
  std::string nats_url;
};
absl::Status StoreNetMap(const std::string& path, const LastNetMap& last);
// NotFound: there is none. FailedPrecondition: it is damaged.
absl::StatusOr<LastNetMap> LoadNetMap(const std::string& path);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_CONTROL_H_
