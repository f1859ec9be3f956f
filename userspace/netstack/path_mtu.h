// What packets a way to a destination carries (RFC 1191, RFC 8201), where it is less than the interface. One thread.
#ifndef USERSPACE_NETSTACK_PATH_MTU_H_
#define USERSPACE_NETSTACK_PATH_MTU_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "userspace/base/ip.h"

namespace lattice::netstack {

// Nothing below is believed: IPv6 has a least MTU (RFC 8200 5); under IPv4 we take what every path of today carries.
constexpr size_t kMinMtuV4 = 576, kMinMtuV6 = 1280;

class PathMtu {
 public:
  PathMtu(size_t interface_mtu, int64_t lifetime_ns) : interface_mtu_(interface_mtu), lifetime_ns_(lifetime_ns) {}

  // An entry ends after its lifetime: the path may have grown (RFC 8201 4).
  size_t Get(const IpAddress& destination, int64_t now);
  // True if that is news. 0 of an old router (RFC 1191 5): the next size below what is in use.
  bool Lower(const IpAddress& destination, size_t mtu, int64_t now);
  // The next smaller size to try where packets vanish without a word (RFC 4821, RFC 8899); 0: none is left.
  size_t Below(const IpAddress& destination, int64_t now);

 private:
  struct Entry {
    size_t mtu;
    int64_t until;
  };
  const size_t interface_mtu_;
  const int64_t lifetime_ns_;
  absl::flat_hash_map<std::array<uint8_t, 16>, Entry> entries_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_PATH_MTU_H_
