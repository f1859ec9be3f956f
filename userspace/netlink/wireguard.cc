#include "userspace/netlink/wireguard.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/netlink/request.h"

namespace lattice::netlink {
namespace {

int ReadFamily(const nlattr* attribute, void* data) {
  if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID) *static_cast<uint16_t*>(data) = mnl_attr_get_u16(attribute);
  return MNL_CB_OK;
}

// The number of the generic netlink family, which the kernel gives at module load.
absl::StatusOr<uint16_t> WireguardFamily() {
  Request request(GENL_ID_CTRL, 0);
  auto* genl = request.Extra<genlmsghdr>();
  genl->cmd = CTRL_CMD_GETFAMILY;
  genl->version = 1;
  request.PutText(CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
  uint16_t family = 0;
  LATTICE_RETURN_IF_ERROR(request.Send(NETLINK_GENERIC, "looking for WireGuard in the kernel", [&](const nlmsghdr* m) {
    return mnl_attr_parse(m, sizeof(genlmsghdr), ReadFamily, &family);
  }));
  if (family == 0) return absl::NotFoundError("the kernel has no WireGuard");
  return family;
}

void PutEndpoint(Request& request, const Endpoint& endpoint) {
  if (endpoint.address.is_v4()) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    address.sin_addr.s_addr = htonl(endpoint.address.v4_host_order());
    request.Put(WGPEER_A_ENDPOINT, &address, sizeof(address));
    return;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  address.sin6_scope_id = endpoint.scope;
  std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), 16);
  request.Put(WGPEER_A_ENDPOINT, &address, sizeof(address));
}

void PutPeer(Request& request, const WireguardPeer& peer) {
  nlattr* peers = request.Begin(WGDEVICE_A_PEERS);
  nlattr* entry = request.Begin(0);
  request.Put(WGPEER_A_PUBLIC_KEY, peer.public_key.data(), peer.public_key.size());
  request.Put32(WGPEER_A_FLAGS, peer.remove ? WGPEER_F_REMOVE_ME : WGPEER_F_REPLACE_ALLOWEDIPS);
  if (!peer.remove) {
    if (peer.endpoint.has_value()) PutEndpoint(request, *peer.endpoint);
    request.Put16(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive_seconds);
    nlattr* list = request.Begin(WGPEER_A_ALLOWEDIPS);
    for (const IpPrefix& prefix : peer.allowed_ips) {
      nlattr* item = request.Begin(0);
      const size_t skip = prefix.is_v4() ? 12 : 0;
      request.Put16(WGALLOWEDIP_A_FAMILY, prefix.is_v4() ? AF_INET : AF_INET6);
      request.Put(WGALLOWEDIP_A_IPADDR, prefix.address().bytes().data() + skip, 16 - skip);
      request.Put8(WGALLOWEDIP_A_CIDR_MASK, static_cast<uint8_t>(prefix.length()));
      request.End(item);
    }
    request.End(list);
  }
  request.End(entry);
  request.End(peers);
}

absl::Status SendDevice(uint16_t family, const std::string& device, const WireguardChange* change,
                        const WireguardPeer* peer) {
  Request request(family, 0);
  auto* genl = request.Extra<genlmsghdr>();
  genl->cmd = WG_CMD_SET_DEVICE;
  genl->version = WG_GENL_VERSION;
  request.PutText(WGDEVICE_A_IFNAME, device.c_str());
  if (change != nullptr && change->private_key.has_value()) {
    request.Put(WGDEVICE_A_PRIVATE_KEY, change->private_key->data(), change->private_key->size());
  }
  if (change != nullptr && change->listen_port.has_value()) {
    request.Put16(WGDEVICE_A_LISTEN_PORT, *change->listen_port);
  }
  if (peer != nullptr) PutPeer(request, *peer);
  return request.Send(NETLINK_GENERIC, absl::StrCat("setting WireGuard interface ", device));
}

absl::StatusOr<UniqueFd> ConnectUnix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return absl::InvalidArgumentError(absl::StrCat(path, ": too long"));
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return ErrnoStatus(errno, "socket");
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return absl::UnavailableError(absl::StrCat("nobody listens at ", path, ": ", strerror(errno)));
  }
  return fd;
}

}  // namespace

absl::Status SetWireguard(const std::string& device, const WireguardChange& change) {
  LATTICE_ASSIGN_OR_RETURN(const uint16_t family, WireguardFamily());
  LATTICE_RETURN_IF_ERROR(SendDevice(family, device, &change, nullptr));
  // One message each: the kernel takes any number of them, but a message has a size.
  for (const WireguardPeer& peer : change.peers) {
    LATTICE_RETURN_IF_ERROR(SendDevice(family, device, nullptr, &peer));
  }
  return absl::OkStatus();
}

std::string WireguardRequest(const WireguardChange& change) {
  std::string text = "set=1\n";
  if (change.private_key.has_value()) {
    absl::StrAppend(&text, "private_key=", absl::BytesToHexString(*change.private_key), "\n");
  }
  if (change.listen_port.has_value()) absl::StrAppend(&text, "listen_port=", *change.listen_port, "\n");
  for (const WireguardPeer& peer : change.peers) {
    absl::StrAppend(&text, "public_key=", absl::BytesToHexString(peer.public_key), "\n");
    if (peer.remove) {
      text += "remove=true\n";
      continue;
    }
    if (peer.endpoint.has_value()) absl::StrAppend(&text, "endpoint=", peer.endpoint->ToString(), "\n");
    absl::StrAppend(&text, "persistent_keepalive_interval=", peer.keepalive_seconds, "\nreplace_allowed_ips=true\n");
    for (const IpPrefix& prefix : peer.allowed_ips) absl::StrAppend(&text, "allowed_ip=", prefix.ToString(), "\n");
  }
  return text + "\n";
}

absl::Status SetWireguardProcess(const std::string& path, const WireguardChange& change) {
  LATTICE_ASSIGN_OR_RETURN(const UniqueFd fd, ConnectUnix(path));
  LATTICE_RETURN_IF_ERROR(WriteAll(fd.get(), WireguardRequest(change)));
  std::string answer;
  std::array<char, 256> piece;
  while (!absl::StrContains(answer, "\n\n") && answer.size() < 4096) {
    const ssize_t size = read(fd.get(), piece.data(), piece.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    answer.append(piece.data(), static_cast<size_t>(size));
  }
  absl::string_view number = answer;
  if (absl::ConsumePrefix(&number, "errno=0\n")) return absl::OkStatus();
  return absl::InternalError(absl::StrCat(path, ": WireGuard refused its settings: ", absl::CHexEscape(answer)));
}

}  // namespace lattice::netlink
