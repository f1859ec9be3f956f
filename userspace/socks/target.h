// Where a client of the proxy wants to go: an address or a name, and a port. Both protocols of the port end here, so
// what a host may look like is said once. Any thread.
//
// The promise of ParseHost() and ParseHostPort(): exactly one of `address` and `name` is set. A literal address is an
// address however the client sent it, so it is judged as one and never asked of a DNS server. A name is one that DNS
// can carry: labels of 1 to 63 letters, digits, '-' and '_', at most 253 bytes with the dots between them; the dot
// behind the last one is taken off.
#ifndef USERSPACE_SOCKS_TARGET_H_
#define USERSPACE_SOCKS_TARGET_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"

namespace lattice::socks {

struct Target {
  std::optional<IpAddress> address;
  std::string name;
  uint16_t port = 0;

  // "192.0.2.1:443", "[2001:db8::1]:443", "example.com:443"
  std::string ToString() const;
  bool operator==(const Target&) const = default;
};

// "example.com", "192.0.2.1", "2001:db8::1", "[2001:db8::1]". InvalidArgument otherwise. Any `port`, also 0.
absl::StatusOr<Target> ParseHost(absl::string_view host, uint16_t port);

// The authority of a URI: "HOST:PORT", an IPv6 address in brackets. Without a port, or with an empty one, it is
// `default_port`, unless that is 0. InvalidArgument otherwise, and for port 0.
absl::StatusOr<Target> ParseHostPort(absl::string_view text, uint16_t default_port);

}  // namespace lattice::socks

#endif  // USERSPACE_SOCKS_TARGET_H_
