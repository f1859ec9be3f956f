// Endpoints as the kernel's socket calls take and give them. Any thread.
#ifndef USERSPACE_BASE_SOCKET_ADDRESS_H_
#define USERSPACE_BASE_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <optional>

#include "userspace/base/endpoint.h"

namespace lattice {

// Its length. AF_INET for an IPv4 address.
socklen_t ToSocketAddress(const Endpoint& endpoint, sockaddr_storage* address);
// Nothing for another family, as a Unix socket has.
std::optional<Endpoint> FromSocketAddress(const sockaddr_storage& address);
// Of a socket.
std::optional<Endpoint> LocalEnd(int fd);
std::optional<Endpoint> RemoteEnd(int fd);

}  // namespace lattice

#endif  // USERSPACE_BASE_SOCKET_ADDRESS_H_
