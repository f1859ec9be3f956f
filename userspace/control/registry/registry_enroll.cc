// Redeeming an enrolment token.
//
// Theory of operation. The whole of it is one transaction of Registry::Write, so redemptions come one after the other
// over all replicas, and whatever is refused leaves the token unused. Still the redemption itself is an UPDATE that
// only matches an unused token, and name, key and address are UNIQUE: no promise hangs on the lock alone.
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/rows.h"

namespace lattice::control {
namespace {

// Upstream's client repeats a request for some seconds. Longer, a used token seen by somebody else, together with the
// public key, would be good for a token of the agent's.
constexpr int64_t kReplayNs = 120'000'000'000;
constexpr size_t kMaxText = 128;

absl::Status CheckEnrollment(const Enrollment& enrollment) {
  if (!absl::StartsWith(enrollment.token, "lt-")) return absl::InvalidArgumentError("invalid enrollment token");
  if (!enrollment.name.empty()) LATTICE_RETURN_IF_ERROR(CheckName("agent name", enrollment.name));
  if (!enrollment.public_key.empty()) LATTICE_RETURN_IF_ERROR(CheckPublicKey(enrollment.public_key));
  if (!enrollment.endpoint.empty()) LATTICE_RETURN_IF_ERROR(CheckEndpoint(enrollment.endpoint));
  if (enrollment.port < 1 || enrollment.port > 65535) return absl::InvalidArgumentError("port: expected 1 to 65535");
  if (enrollment.keepalive_seconds < 0 || enrollment.keepalive_seconds > 65535) {
    return absl::InvalidArgumentError("persistentKeepalive: expected 0 to 65535 seconds");
  }
  for (const std::string* text : {&enrollment.app_id, &enrollment.hostname, &enrollment.platform}) {
    if (text->size() > kMaxText) return absl::InvalidArgumentError("appId, hostname, platform: at most 128 bytes each");
  }
  return absl::OkStatus();
}

}  // namespace

// `*replay`: the same agent has used it just now.
absl::StatusOr<EnrollmentToken> Registry::CheckToken(sql::Connection& connection, const Enrollment& enrollment,
                                                     bool* replay) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection.Query("SELECT " LATTICE_TOKEN_COLUMNS " FROM la_enrollment_tokens WHERE hash = ?",
                                            {Sha256Hex(enrollment.token)}, Deadline()));
  if (rows.empty()) return absl::InvalidArgumentError("invalid enrollment token");
  EnrollmentToken token = ReadToken(rows[0]);
  if (token.revoked_ns != 0) return absl::InvalidArgumentError("invalid enrollment token");
  const std::string& name = enrollment.name.empty() ? token.name : enrollment.name;
  *replay = token.used_ns != 0 && token.used_by == name && !enrollment.public_key.empty() &&
            token.used_key == enrollment.public_key && NowNs() < token.used_ns + kReplayNs;
  if (token.used_ns != 0 && !*replay) return absl::InvalidArgumentError("enrollment token already used");
  if (!*replay && NowNs() >= token.expires_ns) return absl::InvalidArgumentError("enrollment token expired");
  if (!token.name.empty() && name != token.name) {
    return absl::InvalidArgumentError(absl::StrCat("enrollment token is for another agent than \"", name, "\""));
  }
  if (name.empty()) return absl::InvalidArgumentError("agent name: missing, and the enrollment token has none");
  return token;
}

// Fills `agent` with what is known of that name, with the key of the enrolment.
absl::Status Registry::TakeName(sql::Connection& connection, const Enrollment& enrollment, const EnrollmentToken& token,
                                bool replay, Agent* agent, bool* exists) {
  LATTICE_ASSIGN_OR_RETURN(const std::optional<Agent> known, SelectAgent(connection, enrollment.name, Deadline()));
  *exists = known.has_value();
  if (known.has_value()) {
    const bool same_key = !known->public_key.empty() && known->public_key == enrollment.public_key;
    const bool kept = same_key && known->status != AgentStatus::kRevoked;
    // Its public key is no proof: every peer's map has it.
    if (token.name.empty() && !(replay && kept)) {
      return absl::AlreadyExistsError(absl::StrCat(
          "agent name \"", enrollment.name, "\" is taken", known->status == AgentStatus::kRevoked ? " and revoked" : "",
          "; to enroll it anew use a token made for it: lattice token create --name ", enrollment.name));
    }
    *agent = *known;
    if (!kept) ++agent->generation;  // ends the tokens of the earlier enrolment
  }
  agent->public_key = enrollment.public_key;
  if (enrollment.public_key.empty()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection.Query("SELECT name FROM la_agents WHERE public_key = ? AND name <> ?",
                                            {enrollment.public_key, enrollment.name}, Deadline()));
  if (rows.empty()) return absl::OkStatus();
  return absl::AlreadyExistsError("publicKey: another agent has this key; make a key pair for each agent");
}

absl::StatusOr<uint32_t> Registry::FreeAddress(sql::Connection& connection) {
  const uint32_t network = overlay_.address().v4_host_order();
  const int64_t first = int64_t{network} + 2;  // after the network's and the control plane's own
  const int64_t last = int64_t{network} + (int64_t{1} << (32 - overlay_.length())) - 2;  // before the broadcast address
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows,
                           connection.Query("SELECT MAX(address) FROM la_agents WHERE address >= ? AND address <= ?",
                                            {first, last}, Deadline()));
  const int64_t next = rows.empty() || rows[0][0].is_null() ? first : rows[0][0].integer() + 1;
  if (next <= last) return static_cast<uint32_t>(next);
  // The top is reached: a hole, if there is one.
  LATTICE_ASSIGN_OR_RETURN(rows,
                           connection.Query("SELECT MIN(a.address) FROM (SELECT CAST(? AS BIGINT) AS address UNION ALL "
                                            "SELECT address + 1 FROM la_agents WHERE address >= ? AND address < ?) a "
                                            "WHERE NOT EXISTS (SELECT 1 FROM la_agents b WHERE b.address = a.address)",
                                            {first, first, last}, Deadline()));
  if (!rows.empty() && !rows[0][0].is_null()) return static_cast<uint32_t>(rows[0][0].integer());
  // Of the agent that is revoked longest.
  LATTICE_ASSIGN_OR_RETURN(
      rows, connection.Query("SELECT name, address FROM la_agents WHERE status = 'revoked' AND address >= ? AND "
                             "address <= ? ORDER BY revoked_ns LIMIT 1",
                             {first, last}, Deadline()));
  if (rows.empty()) {
    return absl::ResourceExhaustedError(absl::StrCat("the overlay ", overlay_.ToString(),
                                                     " has no free address: ", last - first + 1,
                                                     " agents have one; revoke agents that are gone, or enlarge it"));
  }
  LATTICE_RETURN_IF_ERROR(
      connection.Execute("UPDATE la_agents SET address = NULL WHERE name = ?", {rows[0][0].text()}, Deadline())
          .status());
  return static_cast<uint32_t>(rows[0][1].integer());
}

absl::Status Registry::GiveAddress(sql::Connection& connection, Agent* agent) {
  if (agent->public_key.empty() || agent->status != AgentStatus::kActive) return absl::OkStatus();
  if (!agent->address.empty()) {
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(agent->address);
    if (address.ok() && overlay_.Contains(*address)) return absl::OkStatus();
  }
  LATTICE_ASSIGN_OR_RETURN(const uint32_t address, FreeAddress(connection));
  agent->address = IpAddress::FromV4(address).ToString();
  return absl::OkStatus();
}

absl::Status Registry::Store(sql::Connection& connection, const Agent& agent, bool exists) {
  const std::string tools = EncodeList(agent.allowed_tools);
  const sql::Param key = agent.public_key.empty() ? sql::Param(sql::Null()) : sql::Param(agent.public_key);
  sql::Param address = sql::Null();
  if (!agent.address.empty()) {
    LATTICE_ASSIGN_OR_RETURN(const IpAddress parsed, IpAddress::Parse(agent.address));
    address = sql::Param(parsed.v4_host_order());
  }
  const char* statement =
      exists ? "UPDATE la_agents SET app_id = ?, name_space = ?, allowed_tools = ?, public_key = ?, address = ?, "
               "status = ?, endpoint = ?, hostname = ?, platform = ?, port = ?, keepalive_seconds = ?, generation = ?, "
               "enrolled_ns = ?, last_heartbeat_ns = ?, revoked_ns = ? WHERE name = ?"
             : "INSERT INTO la_agents (app_id, name_space, allowed_tools, public_key, address, status, endpoint, "
               "hostname, platform, port, keepalive_seconds, generation, enrolled_ns, last_heartbeat_ns, revoked_ns, "
               "name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
  const absl::Status status =
      connection
          .Execute(statement,
                   {agent.app_id, agent.name_space, tools, key, address, StatusName(agent.status), agent.endpoint,
                    agent.hostname, agent.platform, agent.port, agent.keepalive_seconds, agent.generation,
                    agent.enrolled_ns, agent.last_heartbeat_ns, agent.revoked_ns, agent.name},
                   Deadline())
          .status();
  // A writer that does not take the version's row (another program) came in between.
  return absl::IsAlreadyExists(status) ? absl::AbortedError(status.message()) : status;
}

absl::Status Registry::Redeem(sql::Connection& connection, Enrollment enrollment, Agent* agent) {
  bool replay = false, exists = false;
  LATTICE_ASSIGN_OR_RETURN(const EnrollmentToken token, CheckToken(connection, enrollment, &replay));
  if (enrollment.name.empty()) enrollment.name = token.name;
  LATTICE_RETURN_IF_ERROR(TakeName(connection, enrollment, token, replay, agent, &exists));
  if (replay) {
    // Between the two requests the agent can have been revoked or enrolled again: then the token is just a used one.
    const bool same = exists && agent->status != AgentStatus::kRevoked;
    return same ? absl::OkStatus() : absl::InvalidArgumentError("enrollment token already used");
  }
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t redeemed,
      connection.Execute("UPDATE la_enrollment_tokens SET used_ns = ?, used_by = ?, used_key = ? WHERE id = ? AND "
                         "used_ns = 0 AND revoked_ns = 0",
                         {NowNs(), enrollment.name, enrollment.public_key, token.id}, Deadline()));
  if (redeemed != 1) return absl::InvalidArgumentError("enrollment token already used");
  agent->name = enrollment.name;
  agent->app_id = enrollment.app_id.empty() ? enrollment.name : enrollment.app_id;
  agent->name_space = token.name_space;
  agent->allowed_tools = token.allowed_tools;
  const bool was_active = exists && agent->status == AgentStatus::kActive;
  agent->status = options_.approve_by_hand && !was_active ? AgentStatus::kPending : AgentStatus::kActive;
  agent->endpoint = enrollment.endpoint;
  agent->hostname = enrollment.hostname;
  agent->platform = enrollment.platform;
  agent->port = enrollment.port;
  agent->keepalive_seconds = enrollment.keepalive_seconds;
  agent->enrolled_ns = NowNs();
  agent->revoked_ns = 0;
  LATTICE_RETURN_IF_ERROR(GiveAddress(connection, agent));
  return Store(connection, *agent, exists);
}

absl::StatusOr<Enrolled> Registry::Enroll(const Enrollment& enrollment) {
  LATTICE_RETURN_IF_ERROR(CheckEnrollment(enrollment));
  {
    // A token that is no good must not cost a writer's turn: it is the one request that needs no credentials.
    LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
    bool replay = false;
    LATTICE_RETURN_IF_ERROR(CheckToken(*connection, enrollment, &replay).status());
  }
  Enrolled enrolled;
  LATTICE_ASSIGN_OR_RETURN(const int64_t version, Write([&](sql::Connection& connection, int64_t) {
                             enrolled.agent = Agent();
                             return Redeem(connection, enrollment, &enrolled.agent);
                           }));
  const Agent& agent = enrolled.agent;
  const absl::Time now = clock_.Now();
  enrolled.jwt =
      SignJwt(secret_, {.issuer = kAgentIssuer,
                        .subject = agent.name,
                        .issued_at = now,
                        .expires_at = now + options_.agent_token_ttl,
                        .agent_id = agent.name,
                        .name_space = agent.name_space,
                        .allowed_tools = agent.allowed_tools,
                        .generation = agent.generation,
                        .nats_password = options_.nats_users ? NatsPassword(agent.name, agent.generation) : ""});
  // The verifier may still hold this name's revocation. A failure is made good by the next refresh.
  if (agent.generation > 1) RefreshRevocations().IgnoreError();
  Announce("", version);
  return enrolled;
}

}  // namespace lattice::control
