// What the registry keeps, as values. Times are nanoseconds since 1970 UTC, 0: never.
#ifndef USERSPACE_CONTROL_REGISTRY_RECORDS_H_
#define USERSPACE_CONTROL_REGISTRY_RECORDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace lattice::control {

inline constexpr int kWireguardPort = 51820;
inline constexpr int kKeepaliveSeconds = 25;

struct TokenRequest {
  std::string name;  // the only agent that may use it; empty: any
  std::string name_space = "default";
  std::vector<std::string> allowed_tools;
  absl::Duration ttl = absl::Hours(24);
  std::string by;  // who asked
};

struct IssuedToken {
  std::string id;
  std::string token;  // "lt-…": shown once
  int64_t expires_ns = 0;
};

struct EnrollmentToken {
  std::string id;
  std::string name;
  std::string name_space;
  std::vector<std::string> allowed_tools;
  int64_t created_ns = 0;
  int64_t expires_ns = 0;
  int64_t used_ns = 0;
  std::string used_by;   // agent name
  std::string used_key;  // its public key then
  int64_t revoked_ns = 0;
  std::string created_by;
};

// What an agent says of itself when it enrols.
struct Enrollment {
  std::string token;
  std::string name;        // empty: the one that the token is bound to
  std::string public_key;  // empty: an identity without a place on the overlay
  std::string app_id;
  std::string hostname;
  std::string platform;
  std::string endpoint;  // "HOST:PORT" where its WireGuard is reached; empty: unknown
  int port = kWireguardPort;
  int keepalive_seconds = kKeepaliveSeconds;
};

enum class AgentStatus { kPending, kActive, kRevoked };

struct Agent {
  std::string name;
  std::string app_id;
  std::string name_space;
  std::vector<std::string> allowed_tools;
  std::string public_key;
  std::string address;  // "10.42.0.2"; empty: none
  AgentStatus status = AgentStatus::kActive;
  std::string endpoint;
  std::string hostname;
  std::string platform;
  int port = kWireguardPort;
  int keepalive_seconds = kKeepaliveSeconds;
  int64_t generation = 1;  // one more at each enrolment with another key
  int64_t enrolled_ns = 0;
  int64_t last_heartbeat_ns = 0;
  int64_t revoked_ns = 0;

  bool operator==(const Agent&) const = default;
};

struct Enrolled {
  Agent agent;
  std::string jwt;
};

// An agent's user on latticed's own NATS server.
struct NatsUser {
  std::string name;
  std::string password;
  uint64_t peer_id = 0;  // 0: not on the overlay
};

struct AgentPolicy {
  std::vector<std::string> rules;
  int64_t version = 0;
  int64_t updated_ns = 0;
  std::string updated_by;
};

struct NetMap {
  int64_t version = 0;
  Agent self;
  std::vector<Agent> peers;  // active, of the same namespace, with key and address
  AgentPolicy policy;
  std::string overlay;  // "10.42.0.0/16"
};

// "active", "pending", "revoked".
const char* StatusName(AgentStatus status);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_RECORDS_H_
