#include "tools/lattice/up_device.h"

#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/net_device.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/netlink/address.h"
#include "userspace/netlink/link.h"
#include "userspace/netlink/route.h"
#include "userspace/tunnel/endpoint_resolver.h"
#include "userspace/wireguard/wg_quick.h"

namespace lattice::cli {
namespace {

// What a path of 1500 bytes leaves (20 IPv4 or 40 IPv6, 8 UDP, 32 WireGuard).
constexpr int kMtu = 1420;
constexpr char kSocketFolder[] = "/var/run/wireguard";
constexpr absl::Duration kStartPatience = absl::Seconds(10);

}  // namespace

absl::StatusOr<std::unique_ptr<AgentDevice>> AgentDevice::Create(const std::string& name,
                                                                 const std::string& private_key, uint16_t port) {
  if (LookupNetDevice(name).ok()) {
    return absl::AlreadyExistsError(absl::StrCat("there is an interface ", name,
                                                 " already; take another --iface, or `ip link delete ", name,
                                                 "` when an earlier `lattice up` left it"));
  }
  auto device = absl::WrapUnique(new AgentDevice(name));
  const absl::Status made = netlink::CreateLink(name, "wireguard");
  if (absl::IsUnimplemented(made)) {
    LATTICE_RETURN_IF_ERROR(device->StartProcess());
  } else {
    LATTICE_RETURN_IF_ERROR(made);
  }
  device->made_ = true;
  LATTICE_RETURN_IF_ERROR(device->Set({.private_key = private_key, .listen_port = port}));
  return device;
}

absl::Status AgentDevice::StartProcess() {
  LATTICE_RETURN_IF_ERROR(MakeDirectories(kSocketFolder, 0755));
  // This program again: the engine is in it.
  absl::StatusOr<std::unique_ptr<Process>> process = Process::Start({"/proc/self/exe", "wg", "run", name_});
  if (!process.ok()) {
    return Annotate(process.status(), "while starting `lattice wg run`, for the kernel has no WireGuard");
  }
  process_ = *std::move(process);
  const absl::Time deadline = absl::Now() + kStartPatience;
  while (absl::Now() < deadline && !process_->Wait(absl::Milliseconds(50))) {
    if (LookupNetDevice(name_).ok() && Set({}).ok()) return absl::OkStatus();
  }
  return absl::InternalError(
      absl::StrCat("`lattice wg run` made no interface ", name_, "; what it wrote stands above"));
}

AgentDevice::~AgentDevice() {
  // Errors leave an interface behind, whose name the next start tells.
  if (process_ == nullptr && made_) netlink::DeleteLink(name_).IgnoreError();
}

absl::Status AgentDevice::Set(const netlink::WireguardChange& change) {
  if (in_kernel()) return netlink::SetWireguard(name_, change);
  return netlink::SetWireguardProcess(absl::StrCat(kSocketFolder, "/", name_, ".sock"), change);
}

absl::Status AgentDevice::SetAddress(const std::string& address) {
  if (address == address_) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(const IpAddress parsed, IpAddress::Parse(address));
  if (const auto before = IpAddress::Parse(address_); before.ok()) {
    netlink::DeleteAddress(name_, *before, before->is_v4() ? 32 : 128).IgnoreError();
  }
  LATTICE_RETURN_IF_ERROR(netlink::AddAddress(name_, parsed, parsed.is_v4() ? 32 : 128));
  LATTICE_RETURN_IF_ERROR(netlink::SetLinkUp(name_, kMtu));
  address_ = address;
  return absl::OkStatus();
}

absl::Status AgentDevice::SetPeers(const std::vector<control::PeerConfig>& peers, std::vector<std::string>* warnings) {
  std::map<std::string, netlink::WireguardPeer> wanted;
  std::set<IpPrefix> routes;
  for (const control::PeerConfig& config : peers) {
    netlink::WireguardPeer peer{.public_key = control::FromBase64(config.public_key).value_or(""),
                                .allowed_ips = config.allowed_ips,
                                .keepalive_seconds = static_cast<uint16_t>(config.keepalive_seconds)};
    if (!config.endpoint.empty()) {
      const auto where = wireguard::ParseHostPort(config.endpoint);
      const auto endpoint = where.ok() ? tunnel::ResolveEndpoint(*where) : where.status();
      if (endpoint.ok()) peer.endpoint = *endpoint;
      if (!endpoint.ok()) warnings->push_back(absl::StrCat("peer ", config.name, ": ", endpoint.status().message()));
    }
    routes.insert(peer.allowed_ips.begin(), peer.allowed_ips.end());
    wanted[config.public_key] = std::move(peer);
  }
  netlink::WireguardChange change;
  for (const auto& [key, peer] : peers_) {
    if (!wanted.contains(key)) change.peers.push_back({.public_key = peer.public_key, .remove = true});
  }
  for (const auto& [key, peer] : wanted) {
    const auto known = peers_.find(key);
    if (known == peers_.end() || !(known->second == peer)) change.peers.push_back(peer);
  }
  if (!change.peers.empty()) LATTICE_RETURN_IF_ERROR(Set(change));
  peers_ = std::move(wanted);
  return SetRoutes(routes, warnings);
}

absl::Status AgentDevice::SetRoutes(const std::set<IpPrefix>& wanted, std::vector<std::string>* warnings) {
  for (auto route = routes_.begin(); route != routes_.end();) {
    if (wanted.contains(*route)) {
      ++route;
      continue;
    }
    const absl::Status removed = netlink::DeleteRoute(name_, *route);
    if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
    route = routes_.erase(route);
  }
  for (const IpPrefix& prefix : wanted) {
    if (routes_.contains(prefix)) continue;
    const absl::Status added = netlink::AddRoute(name_, prefix);
    if (absl::IsAlreadyExists(added)) {
      warnings->push_back(absl::StrCat(prefix.ToString(), " has a route already, which stays"));
      continue;
    }
    LATTICE_RETURN_IF_ERROR(added);
    routes_.insert(prefix);
  }
  return absl::OkStatus();
}

}  // namespace lattice::cli
