// Answers the agents' requests: `lattice.signals.peer.register`, `.GetNetMap` and `.heartbeat`, over NATS or HTTP.
// Blocks as the Registry does. Any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_SIGNAL_SERVICE_H_
#define USERSPACE_CONTROL_REGISTRY_SIGNAL_SERVICE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/clock.h"
#include "userspace/control/registry/registry.h"

namespace lattice::control {

inline constexpr char kSignalSubjects[] = "lattice.signals.peer.*";
inline constexpr char kSignalQueueGroup[] = "lattice_queue";

class SignalService {
 public:
  // Both must outlive it.
  SignalService(Registry& registry, const Clock& clock) : registry_(registry), clock_(clock) {}

  // The body of the answer; of a heartbeat it is empty. An error's message is for the agent (header `error`).
  // NotFound: no such subject.
  absl::StatusOr<std::string> Handle(absl::string_view subject, absl::string_view body);

  absl::StatusOr<std::string> Register(absl::string_view body);
  absl::StatusOr<std::string> GetNetMap(absl::string_view body);
  absl::StatusOr<std::string> Heartbeat(absl::string_view body);

 private:
  Registry& registry_;
  const Clock& clock_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_SIGNAL_SERVICE_H_
