// Who this agent is, and its way into the control plane: the credentials of an earlier run, or new ones by an enrolment
// token. What `lattice up` and `lattice sandbox` have in common.
#ifndef TOOLS_LATTICE_AGENT_ACCESS_H_
#define TOOLS_LATTICE_AGENT_ACCESS_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/up_control.h"
#include "tools/lattice/up_credentials.h"

namespace lattice::cli {

struct AccessOptions {
  std::string name;
  std::string config_dir;
  std::string endpoint;  // empty: as LocalEndpoint() says, where `port` is given
  uint16_t port = 0;
  bool over_http = false;
  std::string nats_credentials;
  std::string nats_tls_ca;
};

// The credentials, made if there are none: a key is stored before it is used.
struct AgentAccess {
  std::string credentials_path;
  Credentials credentials;
  AgentIdentity identity;

  static absl::StatusOr<AgentAccess> Load(const AccessOptions& options);
  bool enrolled() const { return !credentials.jwt.empty(); }
};

// Finds NATS, enrols with `token` if need be (and stores what it got), and logs in. Blocks for some seconds at most.
absl::StatusOr<std::unique_ptr<AgentControl>> Enter(const ServerClient& server, const AccessOptions& options,
                                                    const std::string& token, AgentAccess& access);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_AGENT_ACCESS_H_
