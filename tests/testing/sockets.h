// Socket addresses from text, and sockets bound or connected inside a namespace.
// Any thread.
#ifndef TESTS_TESTING_SOCKETS_H_
#define TESTS_TESTING_SOCKETS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tests/testing/netns.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

// "192.0.2.1" or "2001:db8::1" and a port. CHECKs the text: it is a constant of a test.
class SocketAddress {
 public:
  SocketAddress(absl::string_view ip, uint16_t port);
  int family() const { return storage_.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t length() const { return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6); }

 private:
  sockaddr_storage storage_{};
};

// A SOCK_DGRAM or SOCK_STREAM socket inside, bound to `local`; a stream socket listens.
absl::StatusOr<UniqueFd> BoundSocket(const NetNamespace& ns, int type, const SocketAddress& local);
// A TCP connection made from inside. DeadlineExceeded when nothing answers (a dropped SYN).
absl::StatusOr<UniqueFd> ConnectTcp(const NetNamespace& ns, const SocketAddress& remote, absl::Duration timeout);
// SO_RCVTIMEO.
void SetReceiveTimeout(int fd, absl::Duration timeout);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_SOCKETS_H_
