// An agent's user on latticed's own NATS server. latticed makes one for each agent that enrols, and puts its password
// into the agent's token (claim "nats"), so that who has the token needs nothing else to log in. Sans-I/O; any thread.
#ifndef USERSPACE_NATS_AGENT_LOGIN_H_
#define USERSPACE_NATS_AGENT_LOGIN_H_

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace lattice::nats {

struct AgentLogin {
  std::string user;  // the agent's name
  std::string password;
};

// Nothing: the token's control plane has no NATS server of its own, or it is no token. Its signature is not looked at:
// the server looks at the password.
std::optional<AgentLogin> LoginOfToken(absl::string_view token);

// What begins the subjects on which that agent's answers come, and nobody else may listen: "_INBOX_agent-1". A point is
// written '=', which no name has: with "_INBOX_a.>" agent "a" would hear agent "a.b".
std::string AgentInbox(absl::string_view agent);

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_AGENT_LOGIN_H_
