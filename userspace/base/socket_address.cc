#include "userspace/base/socket_address.h"

#include <netinet/in.h>

#include <cstring>

namespace lattice {

socklen_t ToSocketAddress(const Endpoint& endpoint, sockaddr_storage* address) {
  *address = {};
  if (endpoint.address.is_v4()) {
    sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(endpoint.port)};
    v4.sin_addr.s_addr = htonl(endpoint.address.v4_host_order());
    std::memcpy(address, &v4, sizeof(v4));
    return sizeof(v4);
  }
  sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(endpoint.port), .sin6_scope_id = endpoint.scope};
  std::memcpy(v6.sin6_addr.s6_addr, endpoint.address.bytes().data(), sizeof(v6.sin6_addr.s6_addr));
  std::memcpy(address, &v6, sizeof(v6));
  return sizeof(v6);
}

std::optional<Endpoint> FromSocketAddress(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof(v4));
    return Endpoint{.address = IpAddress::FromV4(ntohl(v4.sin_addr.s_addr)), .port = ntohs(v4.sin_port)};
  }
  if (address.ss_family != AF_INET6) return std::nullopt;
  sockaddr_in6 v6;
  std::memcpy(&v6, &address, sizeof(v6));
  return Endpoint{
      .address = IpAddress::FromBytes(v6.sin6_addr.s6_addr), .port = ntohs(v6.sin6_port), .scope = v6.sin6_scope_id};
}

std::optional<Endpoint> LocalEnd(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return FromSocketAddress(address);
}

std::optional<Endpoint> RemoteEnd(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof(address);
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return std::nullopt;
  return FromSocketAddress(address);
}

}  // namespace lattice
