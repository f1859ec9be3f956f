// The requests of agents, from NATS (`lattice.signals.peer.*`) and HTTP, as values. Unknown fields are left out: later
// agents send more. A private key is refused: it must not travel. Sans-I/O; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_SIGNAL_MESSAGE_H_
#define USERSPACE_CONTROL_REGISTRY_SIGNAL_MESSAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/registry/records.h"

namespace lattice::control {

struct NetMapRequest {
  std::string app_id;
  std::string public_key;
  std::string token;  // the agent's JWT
};

struct HeartbeatRequest {
  std::string app_id;
  std::string token;     // ours; upstream sends none
  std::string endpoint;  // ours: where the agent is reached now
};

// All: InvalidArgument names the field and what was expected.
absl::StatusOr<Enrollment> ParseRegister(absl::string_view body);  // {appId, name, …, token}
absl::StatusOr<Enrollment> ParseRedeem(absl::string_view body);    // {enrollmentToken, agentName, publicKey, …}
absl::StatusOr<NetMapRequest> ParseNetMapRequest(absl::string_view body);
absl::StatusOr<HeartbeatRequest> ParseHeartbeat(absl::string_view body);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_SIGNAL_MESSAGE_H_
