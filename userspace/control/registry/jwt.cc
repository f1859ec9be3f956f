#include "userspace/control/registry/jwt.h"

#include <optional>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/wire_json.h"

namespace lattice::control {
namespace {

constexpr char kHeader[] = R"({"alg":"HS256","typ":"JWT"})";
constexpr size_t kMaxTools = 64;
constexpr int64_t kMaxSeconds = 253402300799;  // 9999-12-31

absl::Status Refused(absl::string_view why) {
  return absl::UnauthenticatedError(absl::StrCat("token ", why));
}

absl::StatusOr<nlohmann::json> DecodePart(absl::string_view part, absl::string_view which) {
  const std::optional<std::string> text = FromBase64Url(part);
  if (!text.has_value()) return Refused(absl::StrCat("is malformed: its ", which, " is not base64url"));
  absl::StatusOr<nlohmann::json> json = ParseWireObject(*text, kMaxJwtBytes);
  if (!json.ok()) return Refused(absl::StrCat("is malformed: its ", which, ": ", json.status().message()));
  return json;
}

absl::Status CheckHeader(const nlohmann::json& header) {
  const auto algorithm = header.find("alg");
  if (algorithm == header.end() || *algorithm != "HS256") return Refused("has another algorithm than HS256");
  // RFC 7515 4.1.11: who does not know a critical extension must refuse.
  if (header.contains("crit")) return Refused("has a critical extension, which is unknown here");
  return absl::OkStatus();
}

absl::StatusOr<Claims> ReadClaims(const nlohmann::json& payload) {
  const WireFields fields{payload};
  Claims claims;
  LATTICE_ASSIGN_OR_RETURN(claims.issuer, fields.Text("iss"));
  LATTICE_ASSIGN_OR_RETURN(claims.subject, fields.Text("sub"));
  LATTICE_ASSIGN_OR_RETURN(claims.agent_id, fields.Text("agent_id"));
  LATTICE_ASSIGN_OR_RETURN(claims.name_space, fields.Text("namespace"));
  LATTICE_ASSIGN_OR_RETURN(claims.allowed_tools, fields.Texts("allowed_tools", kMaxTools));
  LATTICE_ASSIGN_OR_RETURN(claims.role, fields.Text("role"));
  LATTICE_ASSIGN_OR_RETURN(claims.generation, fields.Number("gen", 0, INT64_MAX));
  LATTICE_ASSIGN_OR_RETURN(claims.nats_password, fields.Text("nats"));
  LATTICE_ASSIGN_OR_RETURN(const int64_t issued, fields.Number("iat", 0, kMaxSeconds));
  LATTICE_ASSIGN_OR_RETURN(const int64_t expires, fields.Number("exp", 1, kMaxSeconds));
  claims.issued_at = absl::FromUnixSeconds(issued);
  claims.expires_at = absl::FromUnixSeconds(expires);
  return claims;
}

absl::Status CheckTimes(const nlohmann::json& payload, const Claims& claims, absl::Time now) {
  if (claims.expires_at == absl::UnixEpoch()) return Refused("has no expiry");
  if (now >= claims.expires_at) return Refused("is expired");
  if (claims.issued_at > now + kJwtLeeway) return Refused("was issued in the future; check the clocks");
  const absl::StatusOr<int64_t> not_before = WireFields{payload}.Number("nbf", 0, kMaxSeconds);
  if (!not_before.ok()) return Refused(absl::StrCat("is malformed: ", not_before.status().message()));
  if (absl::FromUnixSeconds(*not_before) > now + kJwtLeeway) return Refused("is not valid yet; check the clocks");
  return absl::OkStatus();
}

}  // namespace

std::string SignJwt(absl::string_view secret, const Claims& claims) {
  nlohmann::json payload = {{"iss", claims.issuer},
                            {"sub", claims.subject},
                            {"iat", absl::ToUnixSeconds(claims.issued_at)},
                            {"exp", absl::ToUnixSeconds(claims.expires_at)}};
  if (claims.issuer == kAgentIssuer) {
    payload["agent_id"] = claims.agent_id;
    payload["namespace"] = claims.name_space;
    payload["allowed_tools"] = claims.allowed_tools;
    payload["gen"] = claims.generation;
    if (!claims.nats_password.empty()) payload["nats"] = claims.nats_password;
  }
  if (!claims.role.empty()) payload["role"] = claims.role;
  const std::string signed_part = absl::StrCat(Base64Url(kHeader), ".", Base64Url(ToText(payload)));
  return absl::StrCat(signed_part, ".", Base64Url(HmacSha256(secret, signed_part)));
}

absl::StatusOr<Claims> VerifyJwt(absl::string_view secret, absl::string_view token, absl::Time now) {
  if (token.size() > kMaxJwtBytes) return Refused("is too large");
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  if (parts.size() != 3) return Refused("is malformed: expected three parts");
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json header, DecodePart(parts[0], "header"));
  LATTICE_RETURN_IF_ERROR(CheckHeader(header));
  const absl::string_view signed_part = token.substr(0, parts[0].size() + 1 + parts[1].size());
  const std::optional<std::string> mac = FromBase64Url(parts[2]);
  if (!mac.has_value() || !ConstantTimeEqual(*mac, HmacSha256(secret, signed_part))) {
    return Refused("has a wrong signature; it is of another control plane or was changed");
  }
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json payload, DecodePart(parts[1], "payload"));
  absl::StatusOr<Claims> claims = ReadClaims(payload);
  if (!claims.ok()) return Refused(absl::StrCat("is malformed: ", claims.status().message()));
  LATTICE_RETURN_IF_ERROR(CheckTimes(payload, *claims, now));
  return claims;
}

}  // namespace lattice::control
