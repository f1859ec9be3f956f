// lattice wg up | run: a WireGuard interface by our own engine on a TUN device, where the kernel has no WireGuard.
//
// `up` makes all that a wg-quick(8) file says; `run` only the interface, which ip(8) and wg(8) set up then, as they do
// with wireguard-go. Both serve wg(8)'s control socket and take everything away at the end.
#include <glog/logging.h>
#include <signal.h>
#include <unistd.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/wg_metrics.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/file.h"
#include "userspace/base/notify.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"
#include "userspace/netlink/address.h"
#include "userspace/netlink/link.h"
#include "userspace/netlink/route.h"
#include "userspace/tunnel/endpoint_resolver.h"
#include "userspace/tunnel/tun_interface.h"
#include "userspace/tunnel/uapi_server.h"
#include "userspace/wireguard/wg_quick.h"

namespace lattice::cli {
namespace {

constexpr size_t kMtu = 1420;
constexpr size_t kMaxFileBytes = 1 << 20;
constexpr char kMetricsHelp[] = "Where to serve Prometheus metrics; empty: nowhere.";

struct WgOptions {
  std::string command;
  std::string iface;
  size_t mtu = kMtu;
  uint16_t listen_port = 0;
  bool offload = true;
  std::string metrics_addr;  // empty: none
};

class WgSession {
 public:
  explicit WgSession(WgOptions options) : options_(std::move(options)) {}

  // The interface, down and without a key; its control socket.
  absl::Status Make();
  absl::Status Apply(const wireguard::WgQuickConfig& config);
  // Until a signal, or until the interface is deleted.
  absl::Status Run(const std::string& ready);

  void Say(absl::string_view text) const { absl::FPrintF(stderr, "%s: %s\n", options_.command, text); }

 private:
  absl::Status SetPeer(const wireguard::WgQuickPeer& peer);
  absl::Status CheckLoop(const IpPrefix& prefix) const;
  absl::Status SetRoutes(const wireguard::WgQuickConfig& config);
  void LookUp(const wireguard::PublicKey& peer);

  const WgOptions options_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<tunnel::TunInterface> interface_;
  std::unique_ptr<tunnel::UapiServer> uapi_;
  std::unique_ptr<WgMetrics> metrics_;
  std::unique_ptr<tunnel::EndpointResolver> resolver_;
  std::map<wireguard::PublicKey, wireguard::HostPort> names_;  // of peers whose endpoint is a name
  absl::Status end_;
};

absl::Status WgSession::Make() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  for (const int signal : {SIGTERM, SIGINT}) {
    LATTICE_RETURN_IF_ERROR(loop_->AddSignal(signal, [this] { loop_->Stop(); }));
  }
  resolver_ = std::make_unique<tunnel::EndpointResolver>(*loop_);
  const tunnel::TunnelOptions options{
      .listen_port = options_.listen_port, .mtu = options_.mtu, .offload = options_.offload};
  LATTICE_ASSIGN_OR_RETURN(interface_,
                           tunnel::TunInterface::Create(*loop_, RealClock(), options_.iface, options, [this] {
                             end_ = absl::AbortedError(absl::StrCat("the interface ", options_.iface, " was deleted"));
                             loop_->Stop();
                           }));
  interface_->OnRetry([this](const wireguard::PublicKey& peer) { LookUp(peer); });
  LATTICE_ASSIGN_OR_RETURN(uapi_, tunnel::UapiServer::Create(*loop_, options_.iface, interface_->tunnel()));
  if (options_.metrics_addr.empty()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(metrics_, WgMetrics::Serve(*loop_, options_.metrics_addr, *interface_));
  Say(absl::StrCat("metrics on http://", metrics_->address(), "/metrics"));
  return absl::OkStatus();
}

absl::Status WgSession::SetPeer(const wireguard::WgQuickPeer& peer) {
  wireguard::PeerConfig config{.public_key = peer.public_key,
                               .preshared_key = peer.preshared_key,
                               .persistent_keepalive_s = peer.persistent_keepalive_s,
                               .allowed_ips = peer.allowed_ips};
  if (peer.endpoint.has_value()) {
    const auto endpoint = tunnel::ResolveEndpoint(*peer.endpoint);
    if (endpoint.ok()) config.endpoint = *endpoint;
    if (!IpAddress::Parse(peer.endpoint->host).ok()) names_[peer.public_key] = *peer.endpoint;
    // The network may come later than we do: handshakes that are not answered ask again.
    if (!endpoint.ok()) Say(absl::StrCat(endpoint.status().message(), "; trying again later"));
  }
  LATTICE_RETURN_IF_ERROR(interface_->tunnel().SetPeer(config));
  if (peer.endpoint.has_value() && !config.endpoint.has_value()) LookUp(peer.public_key);
  return absl::OkStatus();
}

void WgSession::LookUp(const wireguard::PublicKey& peer) {
  const auto name = names_.find(peer);
  if (name == names_.end()) return;
  resolver_->Resolve(name->second, [this, peer](const absl::StatusOr<Endpoint>& endpoint) {
    if (endpoint.ok()) {
      interface_->tunnel().SetEndpoint(peer, *endpoint).IgnoreError();  // removed meanwhile by wg(8)
      return;
    }
    // A peer without an endpoint has no handshakes to fail: ask on our own.
    const auto config = interface_->tunnel().peers().find(peer);
    if (config != interface_->tunnel().peers().end() && !config->second.endpoint.has_value()) {
      loop_->AddOnce(absl::Seconds(5), [this, peer] { LookUp(peer); });
    }
  });
}

// The tunnel's own packets must not go into the tunnel.
absl::Status WgSession::CheckLoop(const IpPrefix& prefix) const {
  for (const auto& [key, peer] : interface_->tunnel().peers()) {
    if (peer.endpoint.has_value() && prefix.Contains(peer.endpoint->address)) {
      return absl::InvalidArgumentError(
          absl::StrCat("AllowedIPs = ", prefix.ToString(), ": its route would catch the packets to the endpoint ",
                       peer.endpoint->ToString(), "; leave that address out, or use Table = off and route by a mark"));
    }
  }
  return absl::OkStatus();
}

absl::Status WgSession::SetRoutes(const wireguard::WgQuickConfig& config) {
  for (const wireguard::WgQuickPeer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      LATTICE_RETURN_IF_ERROR(CheckLoop(prefix));
      const absl::Status added = netlink::AddRoute(options_.iface, prefix);
      // The route of an address with a prefix length is there already.
      if (!added.ok() && !absl::IsAlreadyExists(added)) {
        return Annotate(added, absl::StrCat("while adding a route for ", prefix.ToString()));
      }
    }
  }
  return absl::OkStatus();
}

// What this command does not do is refused before anything is made.
absl::Status CheckConfig(const wireguard::WgQuickConfig& config) {
  if (!config.table.empty() && config.table != "auto" && config.table != "off") {
    return absl::UnimplementedError(
        absl::StrCat("Table = ", config.table, ": routes go to the main table; use Table = off and add them yourself"));
  }
  if (config.table == "off") return absl::OkStatus();
  for (const wireguard::WgQuickPeer& peer : config.peers) {
    for (const IpPrefix& prefix : peer.allowed_ips) {
      if (prefix.length() == 0) {
        return absl::UnimplementedError(
            absl::StrCat("AllowedIPs = ", prefix.ToString(),
                         ": as a route it would catch the tunnel's own packets; use Table = off and route by a mark"));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status WgSession::Apply(const wireguard::WgQuickConfig& config) {
  LATTICE_RETURN_IF_ERROR(interface_->tunnel().SetPrivateKey(config.private_key));
  for (const wireguard::WgQuickPeer& peer : config.peers) LATTICE_RETURN_IF_ERROR(SetPeer(peer));
  for (const wireguard::WgQuickAddress& address : config.addresses) {
    LATTICE_RETURN_IF_ERROR(netlink::AddAddress(options_.iface, address.address, address.length));
  }
  LATTICE_RETURN_IF_ERROR(netlink::SetLinkUp(options_.iface, static_cast<int>(options_.mtu)));
  if (config.table != "off") LATTICE_RETURN_IF_ERROR(SetRoutes(config));
  if (!config.dns.empty()) Say("DNS is not set up here: name it to your resolver");
  return absl::OkStatus();
}

absl::Status WgSession::Run(const std::string& ready) {
  Say(ready);
  NotifyReady(ready);
  LATTICE_RETURN_IF_ERROR(loop_->Run());
  NotifyStopping();
  return end_;
}

absl::StatusOr<wireguard::WgQuickConfig> ReadConfig(const std::string& path) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxFileBytes));
  auto config = wireguard::ParseWgQuick(text);
  if (!config.ok()) return Annotate(config.status(), path);
  LATTICE_RETURN_IF_ERROR(Annotate(CheckConfig(*config), path));
  return config;
}

// "/etc/wireguard/wg0.conf" -> "wg0"
std::string NameOf(const std::string& path) {
  return std::string(absl::StripSuffix(path.substr(path.rfind('/') + 1), ".conf"));
}

absl::Status CheckRoot() {
  return geteuid() == 0 ? absl::OkStatus() : absl::PermissionDeniedError("needs root, to make the interface");
}

}  // namespace

ExitCode RunWgUp(const Words& words) {
  Args args("lattice wg up", "Brings up a wg-quick(8) file on our own WireGuard engine, until SIGTERM.");
  std::string& file = args.Positional("FILE", "Like /etc/wireguard/wg0.conf; the interface has its name.");
  std::string& iface = args.Text("iface", "", "NAME", "Interface to make, in place of the file's name.");
  bool& no_offload = args.Switch("no-offload", "Single packets only: no segmentation by the kernel.");
  std::string& metrics_addr = args.Text("metrics-addr", "", "HOST:PORT", kMetricsHelp);
  args.Note(
      "Commands (PostUp and its like), DNS, routing tables but the main one and a default route are not\n"
      "done. While it runs, `wg show` and `wg set` work as with the kernel's WireGuard.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status root = CheckRoot(); !root.ok()) return Fail(root);
  const auto config = ReadConfig(file);
  if (!config.ok()) return Fail(config.status());
  WgOptions options{.command = args.command(),
                    .iface = iface.empty() ? NameOf(file) : iface,
                    .mtu = config->mtu.value_or(kMtu),
                    .listen_port = config->listen_port.value_or(0),
                    .offload = !no_offload,
                    .metrics_addr = metrics_addr};
  const std::string ready = absl::StrCat(options.iface, " is up with ", Plural(config->peers.size(), "peer"));
  WgSession session(std::move(options));
  absl::Status status = session.Make();
  if (status.ok()) status = session.Apply(*config);
  if (status.ok()) status = session.Run(ready);
  return status.ok() ? kOk : Fail(status);
}

ExitCode RunWgRun(const Words& words) {
  Args args("lattice wg run", "Makes a WireGuard interface on our own engine, for ip(8) and wg(8) to set up.");
  std::string& iface = args.Positional("NAME", "Interface to make; it goes with the process.");
  bool& no_offload = args.Switch("no-offload", "Single packets only: no segmentation by the kernel.");
  std::string& metrics_addr = args.Text("metrics-addr", "", "HOST:PORT", kMetricsHelp);
  args.Note("  lattice wg run wg0 &\n  wg setconf wg0 FILE; ip address add 10.42.0.2/32 dev wg0; ip link set wg0 up");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status root = CheckRoot(); !root.ok()) return Fail(root);
  WgSession session({.command = args.command(), .iface = iface, .offload = !no_offload, .metrics_addr = metrics_addr});
  absl::Status status = session.Make();
  if (status.ok()) status = session.Run(absl::StrCat(iface, " is there"));
  return status.ok() ? kOk : Fail(status);
}

}  // namespace lattice::cli
