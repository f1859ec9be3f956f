// Names of endpoints looked up without holding the loop up: getaddrinfo(3) blocks, for half a minute where no name
// server answers.
#ifndef USERSPACE_TUNNEL_ENDPOINT_RESOLVER_H_
#define USERSPACE_TUNNEL_ENDPOINT_RESOLVER_H_

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/event_loop.h"
#include "userspace/wireguard/wg_quick.h"

namespace lattice::tunnel {

// The first address the system prefers. NotFound: the name has none; Unavailable: nobody could tell. Blocks for names,
// not for addresses. Any thread.
absl::StatusOr<Endpoint> ResolveEndpoint(const wireguard::HostPort& where);

class EndpointResolver {
 public:
  using Done = std::function<void(const absl::StatusOr<Endpoint>&)>;

  // `loop` must outlive it.
  explicit EndpointResolver(EventLoop& loop);
  // Look-ups under way end by themselves; nobody is called any more.
  ~EndpointResolver();
  EndpointResolver(const EndpointResolver&) = delete;
  EndpointResolver& operator=(const EndpointResolver&) = delete;

  // Calls `done` on the loop's thread, at a later turn. Each look-up has a thread of its own. The loop's thread only.
  void Resolve(const wireguard::HostPort& where, Done done);

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_ENDPOINT_RESOLVER_H_
