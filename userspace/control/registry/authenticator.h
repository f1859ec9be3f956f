// Who sent an HTTP request: `Authorization: Bearer JWT`, or the cookie of the dashboard's session. No I/O; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_AUTHENTICATOR_H_
#define USERSPACE_CONTROL_REGISTRY_AUTHENTICATOR_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/control/registry/token_verifier.h"
#include "userspace/http/message.h"

namespace lattice::control {

inline constexpr char kSessionCookie[] = "lattice_session";

struct Principal {
  std::string user;
  std::string role;  // "admin", "viewer"
  absl::Time expires_at;

  bool admin() const { return role == "admin"; }
};

class Authenticator {
 public:
  // `verifier` must outlive it.
  explicit Authenticator(TokenVerifier& verifier) : verifier_(verifier) {}

  // Unauthenticated: no token or a bad one. PermissionDenied: a change that another site's page asks the browser for.
  absl::StatusOr<Principal> Authenticate(const http::Request& request) const;
  // Authenticate() and more: PermissionDenied when a viewer wants to change something, which any method but GET is.
  absl::StatusOr<Principal> Authorize(const http::Request& request) const;
  absl::StatusOr<Principal> PrincipalOf(absl::string_view token) const;

 private:
  TokenVerifier& verifier_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_AUTHENTICATOR_H_
