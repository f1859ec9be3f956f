// An agent's talk with its control plane: it enrols over HTTP, then asks for the map of the network and says it is
// alive over NATS or HTTP. Over NATS, one user for all that enrol would hear each other's answers. Blocks for some
// seconds at most. One thread.
#ifndef TOOLS_LATTICE_UP_CONTROL_H_
#define TOOLS_LATTICE_UP_CONTROL_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/lattice/server_client.h"
#include "userspace/control/registry/netmap.h"
#include "userspace/nats/requester.h"

namespace lattice::cli {

struct AgentIdentity {
  std::string name;
  std::string public_key;  // base64
  std::string jwt;
  std::string endpoint;  // empty: unknown
  int port = 0;
};

class AgentControl {
 public:
  // `server` must outlive it. `over_http`: NATS is not used. Discovers where NATS is: Unavailable, nobody at
  // --server-url.
  static absl::StatusOr<std::unique_ptr<AgentControl>> Create(const ServerClient& server, bool over_http,
                                                              nats::Options nats);

  // The agent's token.
  absl::StatusOr<std::string> Register(const AgentIdentity& identity, const std::string& enrollment_token);
  // Before the calls below, with the agent's token.
  absl::Status LogIn(const AgentIdentity& identity);
  absl::StatusOr<control::AgentConfig> GetNetMap(const AgentIdentity& identity, std::vector<std::string>* warnings);
  absl::Status Heartbeat(const AgentIdentity& identity);

  // Readable when the control plane says that the configuration changed; -1 over HTTP.
  int event_fd() const { return requester_ == nullptr ? -1 : requester_->event_fd(); }
  bool TakePoke() { return requester_ != nullptr && requester_->TakePoke(); }
  // After LogIn() it is how latticed-dp reaches it with the agent's token.
  const std::string& nats_url() const { return nats_url_; }

 private:
  AgentControl(const ServerClient& server, bool over_http) : server_(server), over_http_(over_http) {}
  absl::StatusOr<std::string> Call(const std::string& path, const std::string& body) const;
  absl::StatusOr<std::string> Ask(const std::string& method, const std::string& path, const std::string& body);

  const ServerClient& server_;
  const bool over_http_;
  std::string nats_url_;
  nats::Options nats_;
  std::unique_ptr<nats::Requester> requester_;
};

// The control plane has said that this agent is not one any more: asking again does not help.
bool IsFinal(const absl::Status& status);

// Where others reach UDP `port` of this host: the address it has towards `host`. Empty for loopback.
std::string LocalEndpoint(const std::string& url, int port);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_UP_CONTROL_H_
