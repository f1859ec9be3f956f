#include "userspace/sandbox/pod.h"

#include <netinet/in.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

// What a target gets to answer in, before the next address of its name.
constexpr int64_t kConnectTimeoutNs = 10 * netstack::kSecond;

bool HasFamily(const std::vector<IpAddress>& addresses, bool v4) {
  return std::any_of(addresses.begin(), addresses.end(), [v4](const IpAddress& a) { return a.is_v4() == v4; });
}

}  // namespace

Pod::Pod(EventLoop& loop, const Clock& clock, const EgressFilter& filter, RecordWriter& writer, PodOptions options)
    : filter_(filter),
      options_(std::move(options)),
      log_(loop, clock, filter, writer, options_.log),
      endpoints_(loop) {}

// In the opposite order of what they use.
Pod::~Pod() {
  proxy_ = nullptr;
  forwards_ = nullptr;
  egress_ = nullptr;
  resolver_ = nullptr;
}

absl::StatusOr<std::unique_ptr<Pod>> Pod::Create(EventLoop& loop, const Clock& clock, const EgressFilter& filter,
                                                 RecordWriter& writer, PodOptions options) {
  auto pod = absl::WrapUnique(new Pod(loop, clock, filter, writer, std::move(options)));
  const PodOptions& own = pod->options_;
  netstack::Options stack{.addresses = own.addresses, .mtu = own.mtu};
  stack.connect_timeout_ns = kConnectTimeoutNs;
  LATTICE_ASSIGN_OR_RETURN(pod->overlay_,
                           OverlayStack::Create(loop, clock, {.listen_port = own.listen_port, .mtu = own.mtu}, stack,
                                                pod->users_, pod.get()));
  LATTICE_RETURN_IF_ERROR(pod->overlay_->tunnel().SetPrivateKey(own.private_key));
  pod->overlay_->OnRetry([raw = pod.get()](const wireguard::PublicKey& peer) { raw->LookUp(peer); });
  pod->resolver_ = std::make_unique<Resolver>(
      loop, clock, *pod->overlay_,
      Resolver::Options{
          .servers = own.dns, .ipv4 = HasFamily(own.addresses, true), .ipv6 = HasFamily(own.addresses, false)});
  pod->egress_ =
      std::make_unique<Egress>(Egress{loop, clock, *pod->overlay_, filter, pod->log_, *pod->resolver_, own.addresses});
  return pod;
}

absl::Status Pod::Open() {
  LATTICE_ASSIGN_OR_RETURN(forwards_, ForwardListener::Create(*egress_, options_.forwards, options_.forward));
  if (!options_.proxy.has_value()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(proxy_, ProxyServer::Create(*egress_, *options_.proxy));
  return absl::OkStatus();
}

absl::Status Pod::SetPeers(const std::vector<PodPeer>& peers) {
  tunnel::Tunnel& tunnel = overlay_->tunnel();
  std::set<wireguard::PublicKey> wanted;
  for (const PodPeer& peer : peers) wanted.insert(peer.public_key);
  std::vector<wireguard::PublicKey> gone;
  for (const auto& [key, config] : tunnel.peers()) {
    if (!wanted.contains(key)) gone.push_back(key);
  }
  for (const wireguard::PublicKey& key : gone) {
    names_.erase(key);
    LATTICE_RETURN_IF_ERROR(tunnel.RemovePeer(key));
  }
  for (const PodPeer& peer : peers) {
    wireguard::PeerConfig config{.public_key = peer.public_key,
                                 .preshared_key = peer.preshared_key,
                                 .persistent_keepalive_s = peer.persistent_keepalive_s,
                                 .allowed_ips = peer.allowed_ips};
    names_.erase(peer.public_key);
    if (peer.endpoint.has_value()) {
      if (const auto address = IpAddress::Parse(peer.endpoint->host); address.ok()) {
        config.endpoint = Endpoint{.address = *address, .port = peer.endpoint->port};
      } else {
        names_[peer.public_key] = *peer.endpoint;
      }
    }
    LATTICE_RETURN_IF_ERROR(tunnel.SetPeer(config));
    LookUp(peer.public_key);
  }
  return absl::OkStatus();
}

// Nothing for a peer whose endpoint is no name.
void Pod::LookUp(const wireguard::PublicKey& peer) {
  const auto found = names_.find(peer);
  if (found == names_.end()) return;
  endpoints_.Resolve(found->second, [this, peer](const absl::StatusOr<Endpoint>& endpoint) {
    // Without an answer the next handshake that is not answered asks again. NotFound: the peer has gone meanwhile.
    if (endpoint.ok()) overlay_->tunnel().SetEndpoint(peer, *endpoint).IgnoreError();
  });
}

std::optional<absl::Time> Pod::last_handshake() const {
  const wireguard::Device* const device = overlay_->tunnel().device();
  absl::Time last = absl::InfinitePast();
  if (device != nullptr) {
    for (const wireguard::PeerStatus& peer : device->Peers()) last = std::max(last, peer.last_handshake);
  }
  if (last == absl::InfinitePast()) return std::nullopt;
  return last;
}

// What the stack asks. Egress was judged by who opened it, with the name that was asked for.
netstack::FlowJudge::Verdict Pod::Judge(const netstack::NewFlow& flow) {
  if (!flow.inbound) return netstack::FlowJudge::Verdict::kAllow;
  const bool ports = flow.protocol == IPPROTO_TCP || flow.protocol == IPPROTO_UDP;
  const sandbox::Verdict verdict = filter_.Judge(LAT_INGRESS, flow.remote.address, flow.protocol,
                                                 ports ? std::optional<uint16_t>(flow.local.port) : std::nullopt);
  if (verdict.allow) return netstack::FlowJudge::Verdict::kAllow;
  log_.Denied({.direction = LAT_INGRESS, .protocol = flow.protocol, .local = flow.local, .remote = flow.remote},
              verdict);
  return netstack::FlowJudge::Verdict::kRefuse;
}

}  // namespace lattice::sandbox
