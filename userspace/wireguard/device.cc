#include "userspace/wireguard/device.h"

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::wireguard {
namespace {

constexpr size_t kMinMtu = 576, kMaxMtu = 65'535;

absl::Status NoSuchPeer(const PublicKey& key) {
  return absl::NotFoundError(absl::StrCat("no peer ", key.ToString()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Device>> Device::Create(const DeviceOptions& options, const Clock& clock, Random& random,
                                                       Output& output) {
  LATTICE_RETURN_IF_ERROR(CryptoReady());
  LATTICE_RETURN_IF_ERROR(Aead::Ready());
  if (options.private_key.is_zero()) return absl::InvalidArgumentError("the private key is all zeros: make one");
  if (options.mtu < kMinMtu || options.mtu > kMaxMtu) {
    return absl::InvalidArgumentError(absl::StrCat("MTU ", options.mtu, ": expected ", kMinMtu, " to ", kMaxMtu));
  }
  return absl::WrapUnique(new Device(options, clock, random, output));
}

Device::Device(const DeviceOptions& options, const Clock& clock, Random& random, Output& output)
    : local_(options.private_key),
      mtu_(options.mtu),
      clock_(clock),
      random_(random),
      output_(output),
      checker_(local_.point, random),
      load_(options.handshakes_per_second),
      limiter_(options.max_sources),
      indices_(random) {}

Peer* Device::FindPeer(const PublicKey& key) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : peers_[it->second].get();
}

PeerSlot Device::NewSlot() {
  const auto free = std::find(peers_.begin(), peers_.end(), nullptr);
  if (free != peers_.end()) return static_cast<PeerSlot>(free - peers_.begin());
  peers_.emplace_back();
  return static_cast<PeerSlot>(peers_.size() - 1);
}

absl::Status Device::SetPeer(const PeerConfig& config, int64_t now_ns) {
  if (config.public_key == local_.point) {
    return absl::InvalidArgumentError(
        absl::StrCat("peer ", config.public_key.ToString(), " has this device's own key"));
  }
  Peer* peer = FindPeer(config.public_key);
  if (peer == nullptr) {
    const auto keys = PeerKeys::Make(local_, config.public_key, config.preshared_key);
    if (!keys.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat("peer ", config.public_key.ToString(), ": this public key belongs to no private key"));
    }
    const PeerSlot slot = NewSlot();
    peers_[slot] = std::make_unique<Peer>(slot, *keys);
    by_key_[config.public_key] = slot;
    peer = peers_[slot].get();
  }
  peer->keys.preshared = config.preshared_key;  // from the next handshake on
  if (config.endpoint.has_value()) peer->endpoint = config.endpoint;
  allowed_ips_.RemovePeer(peer->slot);
  for (const IpPrefix& prefix : config.allowed_ips) allowed_ips_.Insert(prefix, peer->slot);
  const int64_t keepalive_ns = config.persistent_keepalive_s * kSecondNs;
  if (keepalive_ns != std::exchange(peer->persistent_keepalive_ns, keepalive_ns)) {
    peer->timers.Cancel(Timer::kPersistentKeepalive);
    if (keepalive_ns != 0) SendKeepalive(*peer, now_ns);
  }
  return absl::OkStatus();
}

absl::Status Device::SetEndpoint(const PublicKey& key, const Endpoint& endpoint) {
  Peer* const peer = FindPeer(key);
  if (peer == nullptr) return NoSuchPeer(key);
  peer->endpoint = endpoint;
  return absl::OkStatus();
}

absl::Status Device::RemovePeer(const PublicKey& key) {
  Peer* const peer = FindPeer(key);
  if (peer == nullptr) return NoSuchPeer(key);
  counters_.staged_dropped += peer->staged.Clear();
  DropKeys(*peer);
  timer_queue_.Remove(peer->slot);
  allowed_ips_.RemovePeer(peer->slot);
  by_key_.erase(key);
  peers_[peer->slot] = nullptr;
  return absl::OkStatus();
}

std::vector<PeerStatus> Device::Peers() const {
  std::vector<PeerStatus> all;
  for (const auto& peer : peers_) {
    if (peer == nullptr) continue;
    all.push_back({.public_key = peer->keys.remote,
                   .endpoint = peer->endpoint,
                   .last_handshake = peer->last_handshake,
                   .rx_bytes = peer->rx_bytes,
                   .tx_bytes = peer->tx_bytes,
                   .staged_dropped = peer->staged_dropped,
                   .handshake_attempts = peer->handshake_attempts,
                   .has_session = peer->current != nullptr,
                   .persistent_keepalive_s = static_cast<uint16_t>(peer->persistent_keepalive_ns / kSecondNs),
                   .allowed_ips = allowed_ips_.PrefixesOf(peer->slot)});
  }
  return all;
}

}  // namespace lattice::wireguard
