// The tokens of agents and users: JSON Web Tokens of one kind, HS256 (RFC 7515, 7519).
//
//   const std::string token = SignJwt(secret, {.issuer = kAgentIssuer, .subject = "a", …});
//   LATTICE_ASSIGN_OR_RETURN(const Claims claims, VerifyJwt(secret, token, clock.Now()));
//
// Promise: VerifyJwt accepts what SignJwt made with the same secret while it is valid, and of a token nothing else
// than its exact text. The algorithm is not the token's to choose. Sans-I/O; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_JWT_H_
#define USERSPACE_CONTROL_REGISTRY_JWT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::control {

inline constexpr char kAgentIssuer[] = "lattice-agent-registration";
inline constexpr char kUserIssuer[] = "latticed";
inline constexpr size_t kMaxJwtBytes = 8 << 10;
// How far another replica's clock may be ahead.
inline constexpr absl::Duration kJwtLeeway = absl::Minutes(1);

struct Claims {
  std::string issuer;
  std::string subject;   // the agent's or the user's name
  absl::Time issued_at;  // whole seconds
  absl::Time expires_at;

  // Of an agent.
  std::string agent_id;
  std::string name_space;
  std::vector<std::string> allowed_tools;
  int64_t generation = 0;     // of its enrolment: tokens of an earlier one are no longer good
  std::string nats_password;  // of its user on latticed's own NATS server; empty: there is none

  // Of a user: "admin" or "viewer".
  std::string role;

  bool operator==(const Claims&) const = default;
};

std::string SignJwt(absl::string_view secret, const Claims& claims);

// Unauthenticated: "token …" says what is wrong and never quotes it.
absl::StatusOr<Claims> VerifyJwt(absl::string_view secret, absl::string_view token, absl::Time now);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_JWT_H_
