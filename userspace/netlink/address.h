// Addresses of an interface, in the network namespace of the calling thread. Any thread.
#ifndef USERSPACE_NETLINK_ADDRESS_H_
#define USERSPACE_NETLINK_ADDRESS_H_

#include <string>

#include "absl/status/status.h"
#include "userspace/base/ip.h"

namespace lattice::netlink {

// The address with its length, as `ip address replace`: one that is there stays.
absl::Status AddAddress(const std::string& device, const IpAddress& address, int length);
// NotFound: it is not there.
absl::Status DeleteAddress(const std::string& device, const IpAddress& address, int length);

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_ADDRESS_H_
