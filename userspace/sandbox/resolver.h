// Names of the overlay to addresses: DNS (RFC 1035) over the overlay's UDP, over its TCP where an answer is truncated.
//
//   resolver.Resolve("api.example.com", [](absl::StatusOr<std::vector<IpAddress>> addresses) { … });
//
// The promise: every question is answered, once, within Options::patience; never from within Resolve(). Answers are
// kept as long as they say, within bounds; one question is on its way at a time for a name. Asks the servers by turns.
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_RESOLVER_H_
#define USERSPACE_SANDBOX_RESOLVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/ip.h"
#include "userspace/sandbox/overlay_stack.h"
#include "userspace/sandbox/overlay_users.h"

namespace lattice::sandbox {

class Resolver {
 public:
  struct Options {
    std::vector<Endpoint> servers;  // on the overlay; empty: every question is FailedPrecondition, naming --dns
    absl::Duration try_for = absl::Seconds(2);
    absl::Duration patience = absl::Seconds(6);
    size_t max_cached = 4096;
    size_t max_pending = 1024;
    bool ipv4 = true, ipv6 = true;  // which families to ask for: those the overlay has an address of
  };
  // NotFound: no such name, or it has no address (RFC 2308). Unavailable: no server answered. ResourceExhausted.
  using Answer = std::function<void(absl::StatusOr<std::vector<IpAddress>>)>;
  using QuestionId = uint64_t;

  // References must outlive it.
  Resolver(EventLoop& loop, const Clock& clock, OverlayStack& overlay, Options options);
  ~Resolver();  // questions on their way are not answered

  QuestionId Resolve(absl::string_view name, Answer answer);
  // The answer is not wanted any more.
  void Cancel(QuestionId id);
  // Other servers; what is kept is forgotten.
  void SetServers(std::vector<Endpoint> servers);

 private:
  // The implementer's.
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_RESOLVER_H_
