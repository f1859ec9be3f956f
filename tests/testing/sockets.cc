#include "tests/testing/sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/match.h"
#include "glog/logging.h"
#include "userspace/base/status.h"

namespace lattice::testing {

SocketAddress::SocketAddress(absl::string_view ip, uint16_t port) {
  const std::string text(ip);
  if (absl::StrContains(ip, ':')) {
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage_);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    CHECK_EQ(::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr), 1) << text;
  } else {
    auto* v4 = reinterpret_cast<sockaddr_in*>(&storage_);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    CHECK_EQ(::inet_pton(AF_INET, text.c_str(), &v4->sin_addr), 1) << text;
  }
}

absl::StatusOr<UniqueFd> BoundSocket(const NetNamespace& ns, int type, const SocketAddress& local) {
  UniqueFd fd = ns.Socket(local.family(), type, 0);
  if (!fd.ok()) return ErrnoStatus(errno, "socket");
  const int one = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(fd.get(), local.get(), local.length()) != 0) return ErrnoStatus(errno, "bind");
  if (type == SOCK_STREAM && ::listen(fd.get(), 128) != 0) return ErrnoStatus(errno, "listen");
  return fd;
}

absl::StatusOr<UniqueFd> ConnectTcp(const NetNamespace& ns, const SocketAddress& remote, absl::Duration timeout) {
  UniqueFd fd = ns.Socket(remote.family(), SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (!fd.ok()) return ErrnoStatus(errno, "socket");
  if (::connect(fd.get(), remote.get(), remote.length()) != 0 && errno != EINPROGRESS) {
    return ErrnoStatus(errno, "connect");
  }
  pollfd ready{fd.get(), POLLOUT, 0};
  if (::poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) == 0) {
    return absl::DeadlineExceededError("connect: no answer");
  }
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return ErrnoStatus(error, "connect");
  if (::fcntl(fd.get(), F_SETFL, 0) != 0) return ErrnoStatus(errno, "fcntl");
  return fd;
}

void SetReceiveTimeout(int fd, absl::Duration timeout) {
  const timeval value = absl::ToTimeval(timeout);
  PCHECK(::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value) == 0);
}

}  // namespace lattice::testing
