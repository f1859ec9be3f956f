// The files of wg-quick(8): [Interface] and [Peer] sections of `Key = value` lines, names in any case, `#` begins a
// comment. What can not be honoured is an error that names line and remedy, never skipped: commands
// (PostUp and its like) are refused, unknown keys too. Keys of secrets are in no message. Any thread.
#ifndef USERSPACE_WIREGUARD_WG_QUICK_H_
#define USERSPACE_WIREGUARD_WG_QUICK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"
#include "userspace/wireguard/key.h"

namespace lattice::wireguard {

// "192.0.2.1:51820", "[2001:db8::1]:51820", "vpn.example.com:51820": the host is not resolved here.
struct HostPort {
  std::string host;  // without brackets
  uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// InvalidArgument says what is expected.
absl::StatusOr<HostPort> ParseHostPort(absl::string_view text);

struct WgQuickAddress {
  IpAddress address;
  int length = 0;  // of the prefix on the link
  bool operator==(const WgQuickAddress&) const = default;
};

struct WgQuickPeer {
  PublicKey public_key;
  PresharedKey preshared_key;  // zero: none
  std::vector<IpPrefix> allowed_ips;
  std::optional<HostPort> endpoint;
  uint16_t persistent_keepalive_s = 0;  // 0: off
};

struct WgQuickConfig {
  PrivateKey private_key;
  std::vector<WgQuickAddress> addresses;
  std::vector<IpAddress> dns;
  std::vector<std::string> dns_search;
  std::optional<uint32_t> mtu;
  std::optional<uint16_t> listen_port;  // nothing or 0: any
  std::string table;                    // "auto", "off" or a number; empty: as "auto"
  std::vector<WgQuickPeer> peers;
};

// InvalidArgument: "line 7: PostUp: …".
absl::StatusOr<WgQuickConfig> ParseWgQuick(absl::string_view text);

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_WG_QUICK_H_
