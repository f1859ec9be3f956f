// The HTTP endpoints of the registry: login, users, agents, policies, enrolment, discovery. Schema:
// openapi_registry.json beside this.
//
//   for (const RegistryApi::Route& route : RegistryApi::Routes()) {
//     server.HandleLater(route.method, route.path, [&](http::Request request, http::Responder respond) {
//       workers.Add([&api, request = std::move(request), respond] { respond(api.Handle(request)); });
//     });
//   }
//
// Handle() does all: who asks, what they may, what they asked for, the answer. It blocks as the Registry does. Any
// thread, several at once.
#ifndef USERSPACE_CONTROL_REGISTRY_REGISTRY_API_H_
#define USERSPACE_CONTROL_REGISTRY_REGISTRY_API_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "userspace/base/clock.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/control/registry/authenticator.h"
#include "userspace/control/registry/login_limiter.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/signal_service.h"
#include "userspace/http/message.h"

namespace lattice::control {

// Its answer has an agent's token.
inline constexpr char kRedeemPath[] = "/api/v1/agent-isolation/register";

struct RegistryApiOptions {
  // What /api/v1/discovery says: where agents reach NATS, as they see it.
  std::string nats_url;
  // NATS listens on every address: nats_url has the host by which the client reached us instead of its own.
  bool nats_at_any_address = false;
  std::string stun_url;
  std::string enforcer_mode;
  bool secure_cookie = false;  // the dashboard is behind TLS
  LoginLimiter::Options login;
  // What the audit says of agents in that time (from and to in ns, 0: not given), for GET /api/v1/agents. May be empty.
  std::function<absl::StatusOr<std::vector<AgentSummary>>(int64_t from_ns, int64_t to_ns)> activity;
};

class RegistryApi {
 public:
  struct Route {
    std::string method;
    std::string path;  // in the form of http::Server: "/*" at its end is a beginning
  };
  static std::vector<Route> Routes();

  // All must outlive it.
  RegistryApi(Registry& registry, const Clock& clock, RegistryApiOptions options)
      : registry_(registry),
        clock_(clock),
        options_(std::move(options)),
        authenticator_(registry.verifier()),
        signals_(registry, clock),
        limiter_(options_.login) {}

  http::Response Handle(const http::Request& request);

  // For the endpoints of others: who asks, and may they.
  const Authenticator& authenticator() const { return authenticator_; }

 private:
  using Answer = absl::StatusOr<std::string>;  // the `data`
  enum class Access { kOpen, kUser };
  struct Endpoint {
    const char* method;
    const char* path;
    Access access;
    // `name`: what stands in the place of the star.
    Answer (RegistryApi::*handle)(const http::Request&, const Principal&, const std::string& name);
    std::vector<const char*> parameters;
  };
  static const std::vector<Endpoint>& Endpoints();
  static const Endpoint* FindEndpoint(const http::Request& request, std::string* name);

  http::Response Login(const http::Request& request);
  http::Response Logout(const http::Request& request) const;
  std::string Cookie(const std::string& token, absl::Duration max_age) const;

  Answer Me(const http::Request& request, const Principal& principal, const std::string& name);
  Answer ListAgents(const http::Request& request, const Principal& principal, const std::string& name);
  Answer GetPolicy(const http::Request& request, const Principal& principal, const std::string& name);
  Answer PutPolicy(const http::Request& request, const Principal& principal, const std::string& name);
  Answer Revoke(const http::Request& request, const Principal& principal, const std::string& name);
  Answer Approve(const http::Request& request, const Principal& principal, const std::string& name);
  Answer ListTokens(const http::Request& request, const Principal& principal, const std::string& name);
  Answer CreateToken(const http::Request& request, const Principal& principal, const std::string& name);
  Answer RevokeToken(const http::Request& request, const Principal& principal, const std::string& name);
  Answer Redeem(const http::Request& request, const Principal& principal, const std::string& name);
  Answer NetMapOf(const http::Request& request, const Principal& principal, const std::string& name);
  Answer HeartbeatOf(const http::Request& request, const Principal& principal, const std::string& name);
  Answer Discovery(const http::Request& request, const Principal& principal, const std::string& name);
  Answer CreateUserToken(const http::Request& request, const Principal& principal, const std::string& name);

  Registry& registry_;
  const Clock& clock_;
  const RegistryApiOptions options_;
  const Authenticator authenticator_;
  SignalService signals_;
  LoginLimiter limiter_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_REGISTRY_API_H_
