// Interfaces made, set up and removed, in the network namespace of the calling thread. Any thread.
#ifndef USERSPACE_NETLINK_LINK_H_
#define USERSPACE_NETLINK_LINK_H_

#include <string>

#include "absl/status/status.h"

namespace lattice::netlink {

// A new interface of `kind` ("wireguard"), down. Unimplemented: the kernel has no such kind; AlreadyExists: the name is
// taken; PermissionDenied: needs CAP_NET_ADMIN.
absl::Status CreateLink(const std::string& name, const std::string& kind);
// NotFound: there is none. The same for SetLinkUp.
absl::Status DeleteLink(const std::string& name);
absl::Status SetLinkUp(const std::string& name, int mtu);
absl::Status SetLinkDown(const std::string& name);

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_LINK_H_
