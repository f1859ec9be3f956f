// Routes into an interface, in the main table of the network namespace of the calling thread. Any thread.
#ifndef USERSPACE_NETLINK_ROUTE_H_
#define USERSPACE_NETLINK_ROUTE_H_

#include <string>

#include "absl/status/status.h"
#include "userspace/base/ip.h"

namespace lattice::netlink {

// `prefix` goes to `device`, without a gateway. A route to the same prefix that somebody else made is not touched:
// AlreadyExists, also when it goes to `device`.
absl::Status AddRoute(const std::string& device, const IpPrefix& prefix);
// NotFound: it is not there.
absl::Status DeleteRoute(const std::string& device, const IpPrefix& prefix);

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_ROUTE_H_
