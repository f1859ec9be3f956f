#include "userspace/control/registry/signal_service.h"

#include <memory>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/netmap.h"
#include "userspace/control/registry/signal_message.h"

namespace lattice::control {

absl::StatusOr<std::string> SignalService::Handle(absl::string_view subject, absl::string_view body) {
  absl::string_view method = subject;
  if (absl::ConsumePrefix(&method, "lattice.signals.peer.")) {
    if (method == "register") return Register(body);
    if (method == "GetNetMap") return GetNetMap(body);
    if (method == "heartbeat") return Heartbeat(body);
  }
  return absl::NotFoundError(absl::StrCat("there is no request \"", subject, "\""));
}

absl::StatusOr<std::string> SignalService::Register(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(Enrollment enrollment, ParseRegister(body));
  // Upstream's agents have an appId always and a name not always.
  if (enrollment.name.empty()) enrollment.name = enrollment.app_id;
  LATTICE_ASSIGN_OR_RETURN(const Enrolled enrolled, registry_.Enroll(enrollment));
  return RegisteredPeerJson(enrolled);
}

absl::StatusOr<std::string> SignalService::GetNetMap(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const NetMapRequest request, ParseNetMapRequest(body));
  LATTICE_ASSIGN_OR_RETURN(const std::shared_ptr<const Claims> claims, registry_.verifier().VerifyAgent(request.token));
  LATTICE_ASSIGN_OR_RETURN(const NetMap map, registry_.GetNetMap(claims->subject));
  // The verifier learns of other replicas' changes some seconds later; this row is the newest.
  if (claims->generation != map.self.generation) {
    return absl::UnauthenticatedError("token is of an earlier enrollment of its agent");
  }
  if (!request.public_key.empty() && request.public_key != map.self.public_key) {
    return absl::InvalidArgumentError("publicKey: not the one this agent enrolled with; enroll it anew");
  }
  return NetMapJson(map, clock_.Now());
}

absl::StatusOr<std::string> SignalService::Heartbeat(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const HeartbeatRequest request, ParseHeartbeat(body));
  if (request.token.empty()) {
    LATTICE_RETURN_IF_ERROR(registry_.HeartbeatOfApp(request.app_id));
    return std::string();
  }
  LATTICE_ASSIGN_OR_RETURN(const std::shared_ptr<const Claims> claims, registry_.verifier().VerifyAgent(request.token));
  LATTICE_RETURN_IF_ERROR(registry_.Heartbeat(claims->subject, request.endpoint));
  return std::string();
}

}  // namespace lattice::control
