// One end of UDP or TCP. Any thread.
#ifndef USERSPACE_BASE_ENDPOINT_H_
#define USERSPACE_BASE_ENDPOINT_H_

#include <compare>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/ip.h"

namespace lattice {

struct Endpoint {
  IpAddress address;
  uint16_t port = 0;   // host order
  uint32_t scope = 0;  // of a link-local IPv6 address: the interface's index; 0 otherwise

  // "192.0.2.1:443", "[2001:db8::1]:443", "[fe80::1%2]:443"
  std::string ToString() const {
    const std::string text = address.ToString();
    return address.is_v4() ? absl::StrCat(text, ":", port)
                           : absl::StrCat("[", text, scope != 0 ? absl::StrCat("%", scope) : "", "]:", port);
  }
  auto operator<=>(const Endpoint&) const = default;
  template <typename H>
  friend H AbslHashValue(H state, const Endpoint& end) {
    return H::combine(std::move(state), end.address.bytes(), end.port, end.scope);
  }
};

}  // namespace lattice

#endif  // USERSPACE_BASE_ENDPOINT_H_
