#include "userspace/control/registry/rows.h"

#include "userspace/base/ip.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/wire_json.h"

namespace lattice::control {
namespace {

AgentStatus StatusOfName(absl::string_view name) {
  if (name == "active") return AgentStatus::kActive;
  if (name == "pending") return AgentStatus::kPending;
  return AgentStatus::kRevoked;  // What a later version wrote counts as the least.
}

}  // namespace

std::string EncodeList(const std::vector<std::string>& list) {
  return ToText(nlohmann::json(list));
}

std::vector<std::string> DecodeList(absl::string_view text) {
  std::vector<std::string> list;
  const nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return list;
  for (const nlohmann::json& entry : json) {
    if (entry.is_string()) list.push_back(entry.get<std::string>());
  }
  return list;
}

Agent ReadAgent(const sql::Row& row) {
  Agent agent;
  agent.name = row[0].text();
  agent.app_id = row[1].text();
  agent.name_space = row[2].text();
  agent.allowed_tools = DecodeList(row[3].text());
  agent.public_key = row[4].text();
  if (!row[5].is_null()) agent.address = IpAddress::FromV4(static_cast<uint32_t>(row[5].integer())).ToString();
  agent.status = StatusOfName(row[6].text());
  agent.endpoint = row[7].text();
  agent.hostname = row[8].text();
  agent.platform = row[9].text();
  agent.port = static_cast<int>(row[10].integer());
  agent.keepalive_seconds = static_cast<int>(row[11].integer());
  agent.generation = row[12].integer();
  agent.enrolled_ns = row[13].integer();
  agent.last_heartbeat_ns = row[14].integer();
  agent.revoked_ns = row[15].integer();
  return agent;
}

EnrollmentToken ReadToken(const sql::Row& row) {
  EnrollmentToken token;
  token.id = row[0].text();
  token.name = row[1].text();
  token.name_space = row[2].text();
  token.allowed_tools = DecodeList(row[3].text());
  token.created_ns = row[4].integer();
  token.expires_ns = row[5].integer();
  token.used_ns = row[6].integer();
  token.used_by = row[7].text();
  token.used_key = row[8].text();
  token.revoked_ns = row[9].integer();
  token.created_by = row[10].text();
  return token;
}

absl::StatusOr<std::optional<Agent>> SelectAgent(sql::Connection& connection, absl::string_view name,
                                                 absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection.Query("SELECT " LATTICE_AGENT_COLUMNS " FROM la_agents WHERE name = ?", {name}, deadline));
  if (rows.empty()) return std::optional<Agent>();
  return std::optional<Agent>(ReadAgent(rows[0]));
}

absl::StatusOr<std::optional<AgentPolicy>> SelectPolicy(sql::Connection& connection, absl::string_view agent,
                                                        absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection.Query("SELECT rules, version, updated_ns, updated_by FROM la_agent_policies WHERE agent = ?", {agent},
                       deadline));
  if (rows.empty()) return std::optional<AgentPolicy>();
  const sql::Row& row = rows[0];
  return std::optional<AgentPolicy>(AgentPolicy{.rules = DecodeList(row[0].text()),
                                                .version = row[1].integer(),
                                                .updated_ns = row[2].integer(),
                                                .updated_by = row[3].text()});
}

}  // namespace lattice::control
