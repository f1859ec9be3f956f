// An agent's life after its enrolment: approval, heartbeats, its map of the network, revocation. See registry.h.
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/rows.h"

namespace lattice::control {
namespace {

absl::Status NoAgent(absl::string_view name) {
  return absl::NotFoundError(absl::StrCat("there is no agent \"", name, "\"; `lattice agents` shows them"));
}

}  // namespace

absl::StatusOr<Agent> Registry::FindAgent(absl::string_view name) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(std::optional<Agent> agent, SelectAgent(*connection, name, Deadline()));
  if (!agent.has_value()) return NoAgent(name);
  return *std::move(agent);
}

absl::StatusOr<std::vector<Agent>> Registry::ListAgents() {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection->Query("SELECT " LATTICE_AGENT_COLUMNS " FROM la_agents ORDER BY name", {}, Deadline()));
  std::vector<Agent> agents;
  agents.reserve(rows.size());
  for (const sql::Row& row : rows) agents.push_back(ReadAgent(row));
  return agents;
}

// Nothing has to be kept for it.
std::string Registry::NatsPassword(absl::string_view name, int64_t generation) const {
  // What is signed as a token has no line end.
  return Hex(HmacSha256(secret_, absl::StrCat("nats\n", name, "\n", generation)));
}

absl::StatusOr<std::vector<NatsUser>> Registry::NatsUsers() {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection->Query("SELECT name, generation, public_key FROM la_agents WHERE status <> 'revoked' ORDER BY name",
                        {}, Deadline()));
  std::vector<NatsUser> users;
  users.reserve(rows.size());
  for (const sql::Row& row : rows) {
    users.push_back(
        {row[0].text(), NatsPassword(row[0].text(), row[1].integer()), row[2].is_null() ? 0 : PeerId(row[2].text())});
  }
  return users;
}

absl::Status Registry::RevokeAgent(absl::string_view name) {
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t version, Write([&](sql::Connection& connection, int64_t) -> absl::Status {
        LATTICE_ASSIGN_OR_RETURN(
            const int64_t changed,
            connection.Execute("UPDATE la_agents SET revoked_ns = CASE WHEN status = 'revoked' THEN "
                               "revoked_ns ELSE ? END, status = 'revoked' WHERE name = ?",
                               {NowNs(), name}, Deadline()));
        return changed == 1 ? absl::OkStatus() : NoAgent(name);
      }));
  const absl::Status refreshed = RefreshRevocations();
  Announce("", version);
  return refreshed;
}

absl::Status Registry::ApproveAgent(absl::string_view name) {
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t version, Write([&](sql::Connection& connection, int64_t) -> absl::Status {
        LATTICE_ASSIGN_OR_RETURN(std::optional<Agent> agent, SelectAgent(connection, name, Deadline()));
        if (!agent.has_value()) return NoAgent(name);
        if (agent->status == AgentStatus::kRevoked) {
          return absl::FailedPreconditionError(
              absl::StrCat("agent \"", name, "\" is revoked; enroll it anew: lattice token create --name ", name));
        }
        agent->status = AgentStatus::kActive;
        LATTICE_RETURN_IF_ERROR(GiveAddress(connection, &*agent));
        return Store(connection, *agent, /*exists=*/true);
      }));
  Announce("", version);
  return absl::OkStatus();
}

absl::Status Registry::Heartbeat(absl::string_view name, absl::string_view endpoint) {
  if (!endpoint.empty()) LATTICE_RETURN_IF_ERROR(CheckEndpoint(endpoint));
  std::optional<Agent> agent;
  {
    LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
    LATTICE_RETURN_IF_ERROR(
        connection->Execute("UPDATE la_agents SET last_heartbeat_ns = ? WHERE name = ?", {NowNs(), name}, Deadline())
            .status());
    LATTICE_ASSIGN_OR_RETURN(agent, SelectAgent(*connection, name, Deadline()));
  }
  if (!agent.has_value()) return NoAgent(name);
  if (agent->status == AgentStatus::kRevoked) return absl::PermissionDeniedError("agent is revoked");
  if (endpoint.empty() || agent->endpoint == endpoint) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t version, Write([&](sql::Connection& connection, int64_t) {
        return connection.Execute("UPDATE la_agents SET endpoint = ? WHERE name = ?", {endpoint, name}, Deadline())
            .status();
      }));
  Announce("", version);
  return absl::OkStatus();
}

absl::Status Registry::HeartbeatOfApp(absl::string_view app_id) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(const int64_t changed,
                           connection->Execute("UPDATE la_agents SET last_heartbeat_ns = ? WHERE app_id = ?",
                                               {NowNs(), app_id}, Deadline()));
  return changed > 0 ? absl::OkStatus() : absl::NotFoundError("no agent has this appId");
}

absl::StatusOr<std::shared_ptr<const std::vector<Agent>>> Registry::ActiveAgents(sql::Connection& connection,
                                                                                 int64_t version) {
  {
    absl::MutexLock lock(&mutex_);
    if (active_version_ == version) return active_;
  }
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection.Query("SELECT " LATTICE_AGENT_COLUMNS
                                            " FROM la_agents WHERE status = 'active' AND public_key IS NOT NULL AND "
                                            "address IS NOT NULL ORDER BY address",
                                            {}, Deadline()));
  auto agents = std::make_shared<std::vector<Agent>>();
  agents->reserve(rows.size());
  for (const sql::Row& row : rows) agents->push_back(ReadAgent(row));
  absl::MutexLock lock(&mutex_);
  if (version > active_version_) {
    active_version_ = version;
    active_ = agents;
  }
  return agents;
}

absl::StatusOr<NetMap> Registry::GetNetMap(absl::string_view name) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  NetMap map;
  // The version first: what follows may be newer than it, never older, and then comes again.
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection->Query("SELECT value FROM la_settings WHERE key = 'config_version'", {}, Deadline()));
  if (rows.empty() || !absl::SimpleAtoi(rows[0][0].text(), &map.version)) {
    return absl::DataLossError("la_settings has no config_version");
  }
  LATTICE_ASSIGN_OR_RETURN(std::optional<Agent> self, SelectAgent(*connection, name, Deadline()));
  if (!self.has_value()) return NoAgent(name);
  if (self->status == AgentStatus::kRevoked) return absl::PermissionDeniedError("agent is revoked");
  map.self = *std::move(self);
  map.overlay = overlay_.ToString();
  LATTICE_ASSIGN_OR_RETURN(std::optional<AgentPolicy> policy, SelectPolicy(*connection, name, Deadline()));
  if (policy.has_value()) map.policy = *std::move(policy);
  if (map.self.status != AgentStatus::kActive || map.self.address.empty()) return map;
  LATTICE_ASSIGN_OR_RETURN(const auto active, ActiveAgents(*connection, map.version));
  for (const Agent& agent : *active) {
    if (agent.name != name && agent.name_space == map.self.name_space) map.peers.push_back(agent);
  }
  return map;
}

}  // namespace lattice::control
