// The kernel's own packet counters of an interface, the other side of the accounting
// identity (`ip -s link`). Any thread.
#ifndef USERSPACE_NETLINK_LINK_STATS_H_
#define USERSPACE_NETLINK_LINK_STATS_H_

#include <linux/if_link.h>

#include <string>

#include "absl/status/statusor.h"

namespace lattice::netlink {

// IFLA_STATS64 of `name` in the caller's network namespace. NotFound: no such device.
absl::StatusOr<rtnl_link_stats64> ReadLinkStats(const std::string& name);

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_LINK_STATS_H_
