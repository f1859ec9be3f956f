// The proxy's port (`--proxy-addr`): SOCKS5, HTTP CONNECT and requests for http:// URIs, on a TCP address or a Unix
// socket, into the overlay.
//
// The promise: a client can neither block the loop nor hold more than its share: connections, the time to ask, and idle
// time are bounded. Where file descriptors run out, new clients wait in the kernel's queue, and the others go on. One
// thread: the loop's.
#ifndef USERSPACE_SANDBOX_PROXY_SERVER_H_
#define USERSPACE_SANDBOX_PROXY_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "userspace/http/listen.h"
#include "userspace/sandbox/proxy_session.h"

namespace lattice::sandbox {

struct ProxyOptions {
  // "127.0.0.1:1080", "[::1]:0", or the path of a Unix socket. InvalidArgument for an address that is not loopback
  // without accounts.
  std::string address;
  std::vector<socks::Account> accounts;
  size_t max_sessions = 16384;
  absl::Duration handshake_timeout = absl::Seconds(10);
  absl::Duration idle_timeout = absl::Hours(2);
};

class ProxyServer {
 public:
  // `egress` must outlive it. Errors name --proxy-addr.
  static absl::StatusOr<std::unique_ptr<ProxyServer>> Create(Egress& egress, const ProxyOptions& options);
  ~ProxyServer();

  // With the actual port, or the path.
  const std::string& address() const { return listener_.address(); }
  size_t sessions() const { return sessions_.size(); }
  uint64_t accepted() const { return accepted_; }
  uint64_t refused() const { return context_.refused; }

 private:
  ProxyServer(Egress& egress, const ProxyOptions& options, http::Listener listener);
  void OnAccept();
  void SetAccepting(bool accepting);
  void Sweep();
  void Bury();

  ProxyContext context_;
  const size_t max_sessions_;
  http::Listener listener_;
  absl::flat_hash_map<ProxySession*, std::unique_ptr<ProxySession>> sessions_;
  std::vector<ProxySession*> ended_;  // to be destroyed when none of their functions runs
  EventLoop::EndOfTurn bury_;
  EventLoop::TimerId sweep_;
  bool accepting_ = false;
  uint64_t accepted_ = 0;
};

// InvalidArgument where `address` ("HOST:PORT" or a path) is open to others than this host's users.
absl::Status CheckLoopback(const std::string& address, absl::string_view remedy);

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_PROXY_SERVER_H_
