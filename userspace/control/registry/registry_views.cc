#include "userspace/control/registry/registry_views.h"

#include <map>

#include "absl/time/time.h"
#include "userspace/control/registry/wire_json.h"

namespace lattice::control {
namespace {

constexpr char kTime[] = "%Y-%m-%dT%H:%M:%E*SZ";

// RFC 3339; empty for never.
std::string TimeText(int64_t ns) {
  return ns == 0 ? "" : absl::FormatTime(kTime, absl::FromUnixNanos(ns), absl::UTCTimeZone());
}

const char* TokenState(const EnrollmentToken& token, int64_t now_ns) {
  if (token.used_ns != 0) return "used";
  if (token.revoked_ns != 0) return "revoked";
  return now_ns >= token.expires_ns ? "expired" : "unused";
}

nlohmann::json AgentJson(const Agent& agent, const AgentSummary& activity) {
  return {{"name", agent.name},
          {"lastSeen", TimeText(activity.last_seen_ns)},
          {"flows", activity.flows},
          {"denied", activity.denied},
          {"bytes", activity.bytes},
          {"address", agent.address},
          {"status", agent.enrolled_ns == 0 ? "" : StatusName(agent.status)},
          {"namespace", agent.name_space},
          {"allowedTools", agent.allowed_tools},
          {"publicKey", agent.public_key},
          {"endpoint", agent.endpoint},
          {"platform", agent.platform},
          {"hostname", agent.hostname},
          {"enrolledAt", TimeText(agent.enrolled_ns)},
          {"lastHeartbeat", TimeText(agent.last_heartbeat_ns)}};
}

}  // namespace

std::string AgentsJson(const std::vector<Agent>& agents, const std::vector<AgentSummary>& activity) {
  std::map<std::string, const AgentSummary*> by_name;
  for (const AgentSummary& summary : activity) by_name[summary.agent_id] = &summary;
  nlohmann::json list = nlohmann::json::array();
  for (const Agent& agent : agents) {
    const auto found = by_name.find(agent.name);
    list.push_back(AgentJson(agent, found == by_name.end() ? AgentSummary() : *found->second));
    if (found != by_name.end()) by_name.erase(found);
  }
  for (const auto& [name, summary] : by_name) {
    Agent unknown;
    unknown.name = name;
    list.push_back(AgentJson(unknown, *summary));
  }
  return ToText({{"list", std::move(list)}});
}

std::string PolicyJson(const AgentPolicy& policy) {
  return ToText({{"rules", policy.rules},
                 {"version", policy.version},
                 {"updatedAt", TimeText(policy.updated_ns)},
                 {"updatedBy", policy.updated_by}});
}

std::string IssuedTokenJson(const IssuedToken& token) {
  return ToText({{"id", token.id}, {"token", token.token}, {"expiresAt", TimeText(token.expires_ns)}});
}

std::string EnrollmentTokensJson(const std::vector<EnrollmentToken>& tokens, int64_t now_ns) {
  nlohmann::json list = nlohmann::json::array();
  for (const EnrollmentToken& token : tokens) {
    list.push_back({{"id", token.id},
                    {"agentName", token.name},
                    {"namespace", token.name_space},
                    {"allowedTools", token.allowed_tools},
                    {"state", TokenState(token, now_ns)},
                    {"createdAt", TimeText(token.created_ns)},
                    {"createdBy", token.created_by},
                    {"expiresAt", TimeText(token.expires_ns)},
                    {"usedAt", TimeText(token.used_ns)},
                    {"usedBy", token.used_by}});
  }
  return ToText({{"list", std::move(list)}});
}

std::string EnrolledJson(const Enrolled& enrolled) {
  return ToText({{"jwt", enrolled.jwt}, {"agentIdentityName", enrolled.agent.name}});
}

std::string PrincipalJson(const Principal& principal) {
  return ToText({{"user", principal.user},
                 {"role", principal.role},
                 {"expiresAt", TimeText(absl::ToUnixNanos(principal.expires_at))}});
}

std::string TokenJson(const std::string& token) {
  return ToText({{"token", token}});
}

std::string DiscoveryJson(const std::string& nats_url, const std::string& stun_url, const std::string& enforcer_mode) {
  nlohmann::json data = {{"nats_url", nats_url}};
  if (!stun_url.empty()) data["stun_url"] = stun_url;
  if (!enforcer_mode.empty()) data["enforcer_mode"] = enforcer_mode;
  return ToText(data);
}

}  // namespace lattice::control
