// The text protocol by which wg(8) and others configure a WireGuard interface that is a process
// (https://www.wireguard.com/xplatform/): lines of key=value, an empty line at the end. Sans-I/O. Any thread.
#ifndef USERSPACE_TUNNEL_UAPI_H_
#define USERSPACE_TUNNEL_UAPI_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/tunnel/tunnel.h"

namespace lattice::tunnel {

struct UapiPeer {
  wireguard::PublicKey public_key;
  bool remove = false;
  bool update_only = false;
  bool replace_allowed_ips = false;
  std::optional<wireguard::PresharedKey> preshared_key;
  std::optional<Endpoint> endpoint;
  std::optional<uint16_t> persistent_keepalive_s;
  std::vector<IpPrefix> allowed_ips;
};

struct UapiChange {
  std::optional<wireguard::PrivateKey> private_key;  // all zero: none
  std::optional<uint16_t> listen_port;
  std::optional<uint32_t> mark;
  bool replace_peers = false;
  std::vector<UapiPeer> peers;
};

// The lines after "set=1". InvalidArgument names the line, but no key.
absl::StatusOr<UapiChange> ParseUapiChange(absl::string_view lines);
// What wg(8) asks for by "get=1", without errno and the empty line. It holds the private key.
std::string FormatUapiState(const Tunnel& tunnel);
absl::Status ApplyUapiChange(const UapiChange& change, Tunnel& tunnel);

// One request and its answer, both whole: "get=1\n\n", "set=1\n…\n\n".
std::string AnswerUapi(absl::string_view request, Tunnel& tunnel);

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_UAPI_H_
