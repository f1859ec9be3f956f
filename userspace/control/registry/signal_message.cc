#include "userspace/control/registry/signal_message.h"

#include "absl/status/status.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/jwt.h"
#include "userspace/control/registry/wire_json.h"

namespace lattice::control {
namespace {

absl::StatusOr<nlohmann::json> ParseRequest(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(nlohmann::json json, ParseWireObject(body));
  const auto key = json.find("privateKey");
  if (key != json.end() && !key->is_null() && *key != "") {
    return absl::InvalidArgumentError(
        "privateKey: must stay with the agent; make a new key pair, this one has traveled");
  }
  return json;
}

absl::StatusOr<Enrollment> ReadEnrollment(const nlohmann::json& json, const char* token, const char* name) {
  const WireFields fields{json};
  Enrollment enrollment;
  LATTICE_ASSIGN_OR_RETURN(enrollment.token, fields.Text(token));
  LATTICE_ASSIGN_OR_RETURN(enrollment.name, fields.Text(name));
  LATTICE_ASSIGN_OR_RETURN(enrollment.public_key, fields.Text("publicKey"));
  LATTICE_ASSIGN_OR_RETURN(enrollment.app_id, fields.Text("appId"));
  LATTICE_ASSIGN_OR_RETURN(enrollment.hostname, fields.Text("hostname"));
  LATTICE_ASSIGN_OR_RETURN(enrollment.platform, fields.Text("platform"));
  LATTICE_ASSIGN_OR_RETURN(enrollment.endpoint, fields.Text("endpoint"));
  LATTICE_ASSIGN_OR_RETURN(const int64_t port, fields.Number("port", 0, 65535));
  LATTICE_ASSIGN_OR_RETURN(const int64_t keepalive, fields.Number("persistentKeepalive", 0, 65535, kKeepaliveSeconds));
  enrollment.port = port == 0 ? kWireguardPort : static_cast<int>(port);
  enrollment.keepalive_seconds = static_cast<int>(keepalive);
  return enrollment;
}

}  // namespace

absl::StatusOr<Enrollment> ParseRegister(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseRequest(body));
  LATTICE_ASSIGN_OR_RETURN(Enrollment enrollment, ReadEnrollment(json, "token", "name"));
  if (enrollment.public_key.empty()) return absl::InvalidArgumentError("\"publicKey\": missing");
  return enrollment;
}

absl::StatusOr<Enrollment> ParseRedeem(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseRequest(body));
  return ReadEnrollment(json, "enrollmentToken", "agentName");
}

absl::StatusOr<NetMapRequest> ParseNetMapRequest(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseRequest(body));
  const WireFields fields{json};
  NetMapRequest request;
  LATTICE_ASSIGN_OR_RETURN(request.app_id, fields.Text("appId"));
  LATTICE_ASSIGN_OR_RETURN(request.public_key, fields.Text("publicKey"));
  LATTICE_ASSIGN_OR_RETURN(request.token, fields.Text("token", kMaxJwtBytes));
  if (request.token.empty()) return absl::InvalidArgumentError("\"token\": missing; register first");
  return request;
}

absl::StatusOr<HeartbeatRequest> ParseHeartbeat(absl::string_view body) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseRequest(body));
  const WireFields fields{json};
  HeartbeatRequest request;
  LATTICE_ASSIGN_OR_RETURN(request.app_id, fields.Text("appId"));
  LATTICE_ASSIGN_OR_RETURN(request.token, fields.Text("token", kMaxJwtBytes));
  LATTICE_ASSIGN_OR_RETURN(request.endpoint, fields.Text("endpoint"));
  if (request.app_id.empty() && request.token.empty()) return absl::InvalidArgumentError("\"appId\": missing");
  return request;
}

}  // namespace lattice::control
