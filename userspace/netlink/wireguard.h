// WireGuard interfaces set up, whoever runs them: the kernel by generic netlink, or a process (wireguard-go) by the
// text protocol of its control socket. Keys are 32 raw bytes. Any thread.
#ifndef USERSPACE_NETLINK_WIREGUARD_H_
#define USERSPACE_NETLINK_WIREGUARD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/ip.h"

namespace lattice::netlink {

struct WireguardPeer {
  std::string public_key;
  bool remove = false;                // then the rest does not count
  std::optional<Endpoint> endpoint;   // nothing: stays as it is
  std::vector<IpPrefix> allowed_ips;  // in place of those before
  uint16_t keepalive_seconds = 0;

  bool operator==(const WireguardPeer&) const = default;
};

// Peers that are not named stay as they are, so that their sessions go on.
struct WireguardChange {
  std::optional<std::string> private_key;
  std::optional<uint16_t> listen_port;
  std::vector<WireguardPeer> peers;
};

// Of a kernel interface. NotFound: no such WireGuard interface.
absl::Status SetWireguard(const std::string& device, const WireguardChange& change);

// Of a process with the control socket `path`. Unavailable: nobody listens there.
absl::Status SetWireguardProcess(const std::string& path, const WireguardChange& change);
// The request that SetWireguardProcess sends. It holds the private key.
std::string WireguardRequest(const WireguardChange& change);

}  // namespace lattice::netlink

#endif  // USERSPACE_NETLINK_WIREGUARD_H_
