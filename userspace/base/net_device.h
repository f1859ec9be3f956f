// What a network device is, asked of the kernel by name in the calling thread's
// network namespace, and the identity of that namespace. Needs no privilege. Any thread.
#ifndef USERSPACE_BASE_NET_DEVICE_H_
#define USERSPACE_BASE_NET_DEVICE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace lattice {

struct NetDevice {
  int ifindex = 0;
  uint16_t type = 0;  // ARPHRD_*
  int mtu = 0;
  bool up = false;
};

// NotFound: no such device; InvalidArgument: `name` can't be a device name.
absl::StatusOr<NetDevice> LookupNetDevice(const std::string& name);

// Bytes in front of the IP header of a packet that tc sees on a device of ARPHRD `type`:
// 0 for layer 3 devices (wg, tun), 14 for Ethernet. InvalidArgument for types Lattice can't parse.
absl::StatusOr<uint32_t> L2HeaderBytes(uint16_t type);

struct NetNamespace {
  uint64_t inode = 0;   // of /proc/self/ns/net: what `ls -l` and `ip netns identify` show; reused after its death
  uint64_t cookie = 0;  // SO_NETNS_COOKIE (kernel 5.14): unique until the next boot
};
absl::StatusOr<NetNamespace> CurrentNetNamespace();

// Whether the calling thread is in the network namespace the machine booted with: the
// place of files that are named after a device alone.
absl::StatusOr<bool> InInitialNetNamespace();

}  // namespace lattice

#endif  // USERSPACE_BASE_NET_DEVICE_H_
