// Where a peer's datagrams go to and come from.
#ifndef USERSPACE_WIREGUARD_ENDPOINT_H_
#define USERSPACE_WIREGUARD_ENDPOINT_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/base/ip.h"

namespace lattice::wireguard {

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;
  uint32_t scope = 0;  // of a link-local IPv6 address: the interface's index; 0 otherwise

  std::string ToString() const {
    const std::string text = address.ToString();
    return address.is_v4() ? absl::StrCat(text, ":", port)
                           : absl::StrCat("[", text, scope != 0 ? absl::StrCat("%", scope) : "", "]:", port);
  }
  auto operator<=>(const Endpoint&) const = default;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_ENDPOINT_H_
