#include "userspace/control/registry/registry_api.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"
#include "userspace/control/api/envelope.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/registry_views.h"
#include "userspace/control/registry/signal_message.h"
#include "userspace/control/registry/wire_json.h"

namespace lattice::control {
namespace {

constexpr char kLoginPath[] = "/api/v1/auth/login";
constexpr char kLogoutPath[] = "/api/v1/auth/logout";
constexpr size_t kMaxPolicyBody = 1 << 20;
constexpr int64_t kDaySeconds = 86400;

// A full overlay is no matter of too many requests.
http::Response FailureOf(const absl::Status& status) {
  if (absl::IsResourceExhausted(status)) return Failure(409, status.message());
  return Failure(status);
}

absl::Status CheckParameters(const http::Request& request, const std::vector<const char*>& known) {
  for (const auto& [name, value] : request.query) {
    const bool found = std::any_of(known.begin(), known.end(), [&, &n = name](const char* k) { return n == k; });
    if (!found) return absl::InvalidArgumentError(absl::StrCat("unknown parameter \"", name, "\""));
  }
  return absl::OkStatus();
}

// RFC 3339, or "-1h", "-30m", "-7d" from now; 0 when not given.
absl::StatusOr<int64_t> TimeParameter(const http::Request& request, const char* name, absl::Time now) {
  const std::optional<absl::string_view> text = request.Param(name);
  if (!text.has_value() || text->empty()) return 0;
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, *text, &time, &error)) return absl::ToUnixNanos(time);
  absl::string_view ago = *text;
  int64_t days = 0;
  absl::Duration duration;
  if (absl::ConsumePrefix(&ago, "-")) {
    if (absl::EndsWith(ago, "d") && absl::SimpleAtoi(ago.substr(0, ago.size() - 1), &days) && days >= 0 &&
        days < 100'000) {
      return absl::ToUnixNanos(now - absl::Hours(24) * days);
    }
    if (absl::ParseDuration(ago, &duration) && duration >= absl::ZeroDuration())
      return absl::ToUnixNanos(now - duration);
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, "=", *text, ": expected RFC 3339 or a time before now like -1h or -7d"));
}

// `url` with the host of "HOST:PORT" or "HOST" instead of its own; its own where that is none.
std::string WithHostOf(absl::string_view url, absl::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  const bool has_port = colon != absl::string_view::npos && (bracket == absl::string_view::npos || colon > bracket);
  const absl::string_view host = authority.substr(0, has_port ? colon : authority.size());
  const size_t begin = url.find_last_of("/@") + 1;
  const size_t port = url.rfind(':');
  if (!CheckEndpoint(absl::StrCat(host, url.substr(port))).ok()) return std::string(url);
  return absl::StrCat(url.substr(0, begin), host, url.substr(port));
}

}  // namespace

const std::vector<RegistryApi::Endpoint>& RegistryApi::Endpoints() {
  static const std::vector<Endpoint>* const endpoints = new std::vector<Endpoint>{
      {"GET", "/api/v1/auth/me", Access::kUser, &RegistryApi::Me, {}},
      {"GET", "/api/v1/agents", Access::kUser, &RegistryApi::ListAgents, {"from", "to"}},
      {"GET", "/api/v1/agents/*/policy", Access::kUser, &RegistryApi::GetPolicy, {}},
      {"PUT", "/api/v1/agents/*/policy", Access::kUser, &RegistryApi::PutPolicy, {}},
      {"POST", "/api/v1/agents/*/revoke", Access::kUser, &RegistryApi::Revoke, {}},
      {"POST", "/api/v1/agents/*/approve", Access::kUser, &RegistryApi::Approve, {}},
      {"GET", "/api/v1/agent-isolation/enrollment-tokens", Access::kUser, &RegistryApi::ListTokens, {}},
      {"POST", "/api/v1/agent-isolation/enrollment-tokens", Access::kUser, &RegistryApi::CreateToken, {}},
      {"DELETE", "/api/v1/agent-isolation/enrollment-tokens/*", Access::kUser, &RegistryApi::RevokeToken, {}},
      {"POST", kRedeemPath, Access::kOpen, &RegistryApi::Redeem, {}},
      {"POST", "/api/v1/agent-isolation/netmap", Access::kOpen, &RegistryApi::NetMapOf, {}},
      {"POST", "/api/v1/agent-isolation/heartbeat", Access::kOpen, &RegistryApi::HeartbeatOf, {}},
      {"GET", "/api/v1/discovery", Access::kOpen, &RegistryApi::Discovery, {}},
      {"POST", "/api/v1/users/tokens", Access::kUser, &RegistryApi::CreateUserToken, {}},
  };
  return *endpoints;
}

std::vector<RegistryApi::Route> RegistryApi::Routes() {
  std::vector<Route> routes = {{"POST", kLoginPath}, {"POST", kLogoutPath}};
  for (const Endpoint& endpoint : Endpoints()) {
    const absl::string_view path = endpoint.path;
    const size_t star = path.find('*');
    Route route{endpoint.method, std::string(star == path.npos ? path : path.substr(0, star + 1))};
    const bool there = std::any_of(routes.begin(), routes.end(), [&](const Route& other) {
      return other.method == route.method && other.path == route.path;
    });
    if (!there) routes.push_back(std::move(route));
  }
  return routes;
}

const RegistryApi::Endpoint* RegistryApi::FindEndpoint(const http::Request& request, std::string* name) {
  for (const Endpoint& endpoint : Endpoints()) {
    if (endpoint.method != request.method) continue;
    const absl::string_view pattern = endpoint.path;
    const size_t star = pattern.find('*');
    absl::string_view path = request.path;
    if (star == absl::string_view::npos) {
      if (path == pattern) return &endpoint;
      continue;
    }
    if (!absl::ConsumePrefix(&path, pattern.substr(0, star)) || !absl::ConsumeSuffix(&path, pattern.substr(star + 1))) {
      continue;
    }
    if (path.empty() || absl::StrContains(path, '/')) continue;
    *name = std::string(path);
    return &endpoint;
  }
  return nullptr;
}

http::Response RegistryApi::Handle(const http::Request& request) {
  if (request.method == "POST" && request.path == kLoginPath) return Login(request);
  if (request.method == "POST" && request.path == kLogoutPath) return Logout(request);
  std::string name;
  const Endpoint* endpoint = FindEndpoint(request, &name);
  if (endpoint == nullptr) return Failure(404, absl::StrCat("there is no ", request.method, " ", request.path));
  Principal principal;
  if (endpoint->access == Access::kUser) {
    absl::StatusOr<Principal> authorized = authenticator_.Authorize(request);
    if (!authorized.ok()) return Failure(authorized.status());
    principal = *std::move(authorized);
  }
  if (const absl::Status known = CheckParameters(request, endpoint->parameters); !known.ok()) return Failure(known);
  const Answer answer = (this->*endpoint->handle)(request, principal, name);
  return answer.ok() ? Success(*answer) : FailureOf(answer.status());
}

std::string RegistryApi::Cookie(const std::string& token, absl::Duration max_age) const {
  return absl::StrCat(kSessionCookie, "=", token,
                      "; Path=/; HttpOnly; SameSite=Strict; Max-Age=", absl::ToInt64Seconds(max_age),
                      options_.secure_cookie ? "; Secure" : "");
}

http::Response RegistryApi::Login(const http::Request& request) {
  const absl::Time now = clock_.Now();
  const absl::Duration wait = limiter_.Admit(request.peer, now);
  if (wait > absl::ZeroDuration()) {
    const int64_t seconds = static_cast<int64_t>(std::ceil(absl::ToDoubleSeconds(wait)));
    http::Response response = Failure(429, absl::StrCat("too many logins from this address; try in ", seconds, " s"));
    response.headers.emplace_back("Retry-After", absl::StrCat(seconds));
    return response;
  }
  if (const absl::Status known = CheckParameters(request, {}); !known.ok()) return Failure(known);
  const absl::StatusOr<nlohmann::json> body = ParseWireObject(request.body);
  if (!body.ok()) return Failure(body.status());
  const absl::StatusOr<std::string> token = WireFields{*body}.Text("token", kMaxJwtBytes);
  if (!token.ok()) return Failure(token.status());
  const absl::StatusOr<Principal> principal = authenticator_.PrincipalOf(*token);
  if (!principal.ok()) return Failure(principal.status());
  limiter_.GiveBack(request.peer, now);
  http::Response response = Success(PrincipalJson(*principal));
  response.headers.emplace_back("Set-Cookie", Cookie(*token, principal->expires_at - now));
  return response;
}

// The cookie goes from the browser; the token in it stays good until it expires, as for who holds it otherwise.
http::Response RegistryApi::Logout(const http::Request& request) const {
  if (const absl::Status known = CheckParameters(request, {}); !known.ok()) return Failure(known);
  http::Response response = Success("{}");
  response.headers.emplace_back("Set-Cookie", Cookie("", absl::ZeroDuration()));
  return response;
}

RegistryApi::Answer RegistryApi::Me(const http::Request&, const Principal& principal, const std::string&) {
  return PrincipalJson(principal);
}

RegistryApi::Answer RegistryApi::ListAgents(const http::Request& request, const Principal&, const std::string&) {
  LATTICE_ASSIGN_OR_RETURN(const int64_t from_ns, TimeParameter(request, "from", clock_.Now()));
  LATTICE_ASSIGN_OR_RETURN(const int64_t to_ns, TimeParameter(request, "to", clock_.Now()));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Agent> agents, registry_.ListAgents());
  std::vector<AgentSummary> activity;
  if (options_.activity) {
    LATTICE_ASSIGN_OR_RETURN(activity, options_.activity(from_ns, to_ns));
  }
  return AgentsJson(agents, activity);
}

RegistryApi::Answer RegistryApi::GetPolicy(const http::Request&, const Principal&, const std::string& name) {
  LATTICE_ASSIGN_OR_RETURN(const AgentPolicy policy, registry_.GetPolicy(name));
  return PolicyJson(policy);
}

RegistryApi::Answer RegistryApi::PutPolicy(const http::Request& request, const Principal& principal,
                                           const std::string& name) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json body, ParseWireObject(request.body, kMaxPolicyBody));
  // A misspelt key would deny everything.
  if (!body.contains("rules")) return absl::InvalidArgumentError("\"rules\": missing; [] denies everything");
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> rules, WireFields{body}.Texts("rules", 10'000, 4096));
  std::optional<int64_t> made_from;
  if (body.contains("version")) {
    LATTICE_ASSIGN_OR_RETURN(made_from, WireFields{body}.Number("version", 0, std::numeric_limits<int64_t>::max()));
  }
  LATTICE_ASSIGN_OR_RETURN(const AgentPolicy policy, registry_.SetPolicy(name, rules, principal.user, made_from));
  return PolicyJson(policy);
}

RegistryApi::Answer RegistryApi::Revoke(const http::Request&, const Principal&, const std::string& name) {
  LATTICE_RETURN_IF_ERROR(registry_.RevokeAgent(name));
  return "{}";
}

RegistryApi::Answer RegistryApi::Approve(const http::Request&, const Principal&, const std::string& name) {
  LATTICE_RETURN_IF_ERROR(registry_.ApproveAgent(name));
  return "{}";
}

RegistryApi::Answer RegistryApi::ListTokens(const http::Request&, const Principal&, const std::string&) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<EnrollmentToken> tokens, registry_.ListEnrollmentTokens());
  return EnrollmentTokensJson(tokens, absl::ToUnixNanos(clock_.Now()));
}

RegistryApi::Answer RegistryApi::CreateToken(const http::Request& request, const Principal& principal,
                                             const std::string&) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json body, ParseWireObject(request.body));
  const WireFields fields{body};
  TokenRequest token;
  LATTICE_ASSIGN_OR_RETURN(token.name, fields.Text("agentName"));
  LATTICE_ASSIGN_OR_RETURN(const std::string name_space, fields.Text("namespace"));
  if (!name_space.empty()) token.name_space = name_space;
  LATTICE_ASSIGN_OR_RETURN(token.allowed_tools, fields.Texts("allowedTools", 64));
  LATTICE_ASSIGN_OR_RETURN(const int64_t seconds, fields.Number("ttlSeconds", 0, 365 * kDaySeconds, 0));
  if (seconds != 0) token.ttl = absl::Seconds(seconds);  // upstream's 0 is its default too
  token.by = principal.user;
  LATTICE_ASSIGN_OR_RETURN(const IssuedToken issued, registry_.CreateEnrollmentToken(token));
  return IssuedTokenJson(issued);
}

RegistryApi::Answer RegistryApi::RevokeToken(const http::Request&, const Principal&, const std::string& id) {
  LATTICE_RETURN_IF_ERROR(registry_.RevokeEnrollmentToken(id));
  return "{}";
}

RegistryApi::Answer RegistryApi::Redeem(const http::Request& request, const Principal&, const std::string&) {
  LATTICE_ASSIGN_OR_RETURN(const Enrollment enrollment, ParseRedeem(request.body));
  LATTICE_ASSIGN_OR_RETURN(const Enrolled enrolled, registry_.Enroll(enrollment));
  return EnrolledJson(enrolled);
}

RegistryApi::Answer RegistryApi::NetMapOf(const http::Request& request, const Principal&, const std::string&) {
  return signals_.GetNetMap(request.body);
}

RegistryApi::Answer RegistryApi::HeartbeatOf(const http::Request& request, const Principal&, const std::string&) {
  LATTICE_RETURN_IF_ERROR(signals_.Heartbeat(request.body).status());
  return "{}";
}

RegistryApi::Answer RegistryApi::Discovery(const http::Request& request, const Principal&, const std::string&) {
  const absl::string_view reached = request.Header("Host").value_or("");
  const bool own = !options_.nats_at_any_address || reached.empty();
  return DiscoveryJson(own ? options_.nats_url : WithHostOf(options_.nats_url, reached), options_.stun_url,
                       options_.enforcer_mode);
}

RegistryApi::Answer RegistryApi::CreateUserToken(const http::Request& request, const Principal&, const std::string&) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json body, ParseWireObject(request.body));
  const WireFields fields{body};
  LATTICE_ASSIGN_OR_RETURN(const std::string name, fields.Text("name"));
  LATTICE_ASSIGN_OR_RETURN(const std::string role, fields.Text("role"));
  LATTICE_ASSIGN_OR_RETURN(const int64_t seconds, fields.Number("ttlSeconds", 60, 3650 * kDaySeconds, kDaySeconds));
  LATTICE_ASSIGN_OR_RETURN(const std::string token, registry_.IssueUserToken(name, role, absl::Seconds(seconds)));
  return TokenJson(token);
}

}  // namespace lattice::control
