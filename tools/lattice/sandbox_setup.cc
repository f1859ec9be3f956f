#include "tools/lattice/sandbox_setup.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"

namespace lattice::cli {
namespace {

constexpr absl::Duration kAddressPatience = absl::Seconds(60);
constexpr absl::Duration kAddressPoll = absl::Milliseconds(500);
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr uint16_t kDnsPort = 53;

// Until there is an address.
absl::StatusOr<control::AgentConfig> AwaitAddress(AgentControl& control, const AgentAccess& access,
                                                  const std::function<bool()>& stopped,
                                                  const std::function<void(const std::string&)>& say) {
  const absl::Time deadline = absl::Now() + kAddressPatience;
  absl::Status last =
      absl::DeadlineExceededError("the control plane gave no address; is the agent pending (`lattice agents`)?");
  bool told = false;
  while (absl::Now() < deadline) {
    if (stopped()) return absl::CancelledError("stopped before the control plane gave an address");
    std::vector<std::string> warnings;
    absl::StatusOr<control::AgentConfig> config = control.GetNetMap(access.identity, &warnings);
    for (const std::string& warning : warnings) say(warning);
    if (config.ok() && config->status == "revoked") config = absl::PermissionDeniedError("agent is revoked");
    if (config.ok() && !config->address.empty()) return config;
    if (IsFinal(config.status())) {
      return absl::PermissionDeniedError(
          absl::StrCat(config.status().message(), "; to enroll again remove ", access.credentials_path,
                       " and use a new token: lattice token create --name ", access.identity.name));
    }
    if (!config.ok()) last = config.status();
    if (config.ok() && config->status == "pending" && !std::exchange(told, true)) say("waiting for approval");
    absl::SleepFor(kAddressPoll);
  }
  return last;
}

}  // namespace

AccessOptions AccessOf(const SandboxOptions& options) {
  return {.name = options.name,
          .config_dir = options.config_dir,
          .endpoint = options.endpoint,
          .port = options.port,
          .over_http = options.over_http,
          .nats_credentials = options.nats_credentials,
          .nats_tls_ca = options.nats_tls_ca};
}

std::string NetMapPath(const SandboxOptions& options) {
  return absl::StrCat(options.config_dir, "/sandbox-", options.name, ".netmap.json");
}

std::vector<sandbox::PodPeer> PeersOf(const control::AgentConfig& config, std::vector<std::string>* warnings) {
  std::vector<sandbox::PodPeer> peers;
  for (const control::PeerConfig& from : config.peers) {
    sandbox::PodPeer peer{.allowed_ips = from.allowed_ips,
                          .persistent_keepalive_s = static_cast<uint16_t>(from.keepalive_seconds)};
    const auto key = wireguard::PublicKey::Parse(from.public_key);
    if (!key.ok()) {
      warnings->push_back(absl::StrCat("peer ", from.name, ": ", key.status().message()));
      continue;
    }
    peer.public_key = *key;
    if (!from.endpoint.empty()) {
      auto endpoint = wireguard::ParseHostPort(from.endpoint);
      if (!endpoint.ok()) {
        warnings->push_back(
            absl::StrCat("peer ", from.name, ": endpoint ", from.endpoint, ": ", endpoint.status().message()));
        continue;
      }
      peer.endpoint = *std::move(endpoint);
    }
    peers.push_back(std::move(peer));
  }
  return peers;
}

absl::StatusOr<SandboxSetup> SetupFromFile(const std::string& path) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  auto config = wireguard::ParseWgQuick(text);
  if (!config.ok()) return Annotate(config.status(), path);
  SandboxSetup setup{.private_key = config->private_key};
  for (const wireguard::WgQuickAddress& address : config->addresses) setup.addresses.push_back(address.address);
  if (setup.addresses.empty()) return absl::InvalidArgumentError(absl::StrCat(path, ": no Address; it is needed"));
  for (const IpAddress& server : config->dns) setup.dns.push_back({.address = server, .port = kDnsPort});
  if (config->mtu.has_value()) setup.mtu = *config->mtu;
  setup.port = config->listen_port.value_or(0);
  for (const wireguard::WgQuickPeer& peer : config->peers) {
    setup.peers.push_back({.public_key = peer.public_key,
                           .preshared_key = peer.preshared_key,
                           .allowed_ips = peer.allowed_ips,
                           .endpoint = peer.endpoint,
                           .persistent_keepalive_s = peer.persistent_keepalive_s});
  }
  return setup;
}

absl::StatusOr<SandboxSetup> SetupFromControl(const ServerClient& server, const SandboxOptions& options,
                                              const std::function<bool()>& stopped,
                                              const std::function<void(const std::string&)>& say) {
  SandboxSetup setup;
  LATTICE_ASSIGN_OR_RETURN(setup.access, AgentAccess::Load(AccessOf(options)));
  AgentAccess& access = *setup.access;
  LATTICE_ASSIGN_OR_RETURN(setup.private_key,
                           wireguard::PrivateKey::Parse(control::Base64(access.credentials.private_key)));
  const bool resuming = access.enrolled();
  absl::Status away = absl::OkStatus();
  auto control = Enter(server, AccessOf(options), options.token, access);
  if (control.ok()) {
    setup.control = *std::move(control);
    setup.last.nats_url = setup.control->nats_url();
    auto config = AwaitAddress(*setup.control, access, stopped, say);
    if (config.ok()) {
      setup.last.config = *std::move(config);
      LATTICE_RETURN_IF_ERROR(StoreNetMap(NetMapPath(options), setup.last));
    } else {
      away = config.status();
    }
  } else {
    away = control.status();
  }
  if (!away.ok()) {
    // What it said itself is final; that nobody answers is not, for one that was there before.
    if (!resuming || absl::IsPermissionDenied(away) || absl::IsCancelled(away) || IsFinal(away)) return away;
    auto last = LoadNetMap(NetMapPath(options));
    if (!last.ok()) return away;
    say(absl::StrCat("the control plane is away, going by what it said last: ", away.message()));
    setup.last = *std::move(last);
    setup.control = nullptr;
  }
  const auto address = IpAddress::Parse(setup.last.config.address);
  if (!address.ok()) return Annotate(address.status(), "the address that the control plane gave");
  setup.addresses = {*address};
  std::vector<std::string> warnings;
  setup.peers = PeersOf(setup.last.config, &warnings);
  for (const std::string& warning : warnings) say(warning);
  return setup;
}

}  // namespace lattice::cli
