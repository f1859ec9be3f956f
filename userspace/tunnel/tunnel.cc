// Theory of operation. Packets are sealed into batches: runs of datagrams of one size for one endpoint, which the
// kernel segments. Flush() gives all batches to the socket. When it is full, the rest stays, EPOLLOUT is asked for and
// writable() says false, upon which the inside stops reading its source: what is held is bounded by what one turn of
// the loop brings, and kMaxBatches is only the wall behind that.
//
// Handshake messages and keepalives come out of the engine one by one, by Send(); they travel in batches as well, so
// that order and back-pressure are the same for all.
#include "userspace/tunnel/tunnel.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::tunnel {
namespace {

using wireguard::Device;
using wireguard::SealResult;
using wireguard::SendBatch;

constexpr size_t kMaxBatches = 128;  // of 64 KiB
constexpr size_t kSpareBatches = 8;
// Given to the socket before a turn ends, so that the other side need not wait for all of it.
constexpr size_t kFlushBatches = 8;
// Receive calls in a turn, of some hundred datagrams each; then others have theirs.
constexpr int kReceiveRounds = 4;

}  // namespace

absl::StatusOr<std::unique_ptr<Tunnel>> Tunnel::Create(EventLoop& loop, const Clock& clock,
                                                       const TunnelOptions& options, Inside& inside) {
  auto tunnel = absl::WrapUnique(new Tunnel(loop, clock, options, inside));
  Tunnel* const raw = tunnel.get();
  LATTICE_ASSIGN_OR_RETURN(tunnel->timer_, DeadlineTimer::Create(loop, [raw] { raw->OnTimer(); }));
  LATTICE_RETURN_IF_ERROR(tunnel->OpenSocket(options.listen_port));
  return tunnel;
}

Tunnel::~Tunnel() {
  if (socket_ != nullptr) loop_.RemoveFd(socket_->fd());
}

// A socket on `port` takes the place of the one before, which stays when there is none to be had.
absl::Status Tunnel::OpenSocket(uint16_t port) {
  LATTICE_ASSIGN_OR_RETURN(auto opened,
                           UdpSocket::Open({.port = port, .mark = options_.mark, .offload = options_.offload}));
  LATTICE_RETURN_IF_ERROR(loop_.AddFd(opened->fd(), EPOLLIN, [this](uint32_t events) { OnSocket(events); }));
  if (socket_ != nullptr) loop_.RemoveFd(socket_->fd());
  socket_ = std::move(opened);
  blocked_ = false;
  return absl::OkStatus();
}

absl::Status Tunnel::SetPrivateKey(const wireguard::PrivateKey& key) {
  if (private_key_.has_value() && *private_key_ == key) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(
      auto device, Device::Create({.private_key = key, .mtu = options_.mtu}, clock_, wireguard::SystemRandom(), *this));
  // Where peers have roamed to is worth keeping.
  if (device_ != nullptr) {
    for (const wireguard::PeerStatus& status : device_->Peers()) peers_[status.public_key].endpoint = status.endpoint;
  }
  device_ = std::move(device);
  private_key_ = key;
  // Our own key among the peers: as with the kernel, it is no peer any more.
  peers_.erase(device_->public_key());
  for (const auto& [name, peer] : peers_) {
    LATTICE_RETURN_IF_ERROR(device_->SetPeer(peer, clock_.MonotonicNs()));
  }
  Flush();
  return absl::OkStatus();
}

absl::Status Tunnel::SetListenPort(uint16_t port) {
  if (port != 0 && port == socket_->port()) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(OpenSocket(port));
  options_.listen_port = port;
  return absl::OkStatus();
}

absl::Status Tunnel::SetMark(uint32_t mark) {
  LATTICE_RETURN_IF_ERROR(socket_->SetMark(mark));
  options_.mark = mark;
  return absl::OkStatus();
}

absl::Status Tunnel::SetPeer(const wireguard::PeerConfig& config) {
  if (device_ != nullptr) LATTICE_RETURN_IF_ERROR(device_->SetPeer(config, clock_.MonotonicNs()));
  // A prefix belongs to one peer.
  for (auto& [name, peer] : peers_) {
    if (name == config.public_key) continue;
    std::erase_if(peer.allowed_ips, [&config](const IpPrefix& prefix) {
      return std::find(config.allowed_ips.begin(), config.allowed_ips.end(), prefix) != config.allowed_ips.end();
    });
  }
  wireguard::PeerConfig& kept = peers_[config.public_key];
  const auto endpoint = config.endpoint.has_value() ? config.endpoint : kept.endpoint;
  kept = config;
  kept.endpoint = endpoint;
  Flush();
  return absl::OkStatus();
}

absl::Status Tunnel::SetEndpoint(const wireguard::PublicKey& peer, const Endpoint& endpoint) {
  const auto kept = peers_.find(peer);
  if (kept == peers_.end()) return absl::NotFoundError("no such peer");
  kept->second.endpoint = endpoint;
  return device_ == nullptr ? absl::OkStatus() : device_->SetEndpoint(peer, endpoint);
}

// By value: the caller may have taken the key out of peers().
absl::Status Tunnel::RemovePeer(wireguard::PublicKey peer) {
  if (peers_.erase(peer) == 0) return absl::NotFoundError("no such peer");
  return device_ == nullptr ? absl::OkStatus() : device_->RemovePeer(peer);
}

// A new batch at the end; never fails, the wall is the callers'.
SendBatch& Tunnel::OpenBatch() {
  if (spare_.empty()) {
    batches_.push_back(std::make_unique<SendBatch>());
  } else {
    batches_.push_back(std::move(spare_.back()));
    spare_.pop_back();
  }
  return *batches_.back();
}

void Tunnel::Send(absl::Span<const wireguard::Bytes> parts) {
  if (device_ == nullptr) {
    ++counters_.dropped_no_key;
    return;
  }
  if (batches_.size() >= kMaxBatches) {
    ++counters_.dropped_full;
    return;
  }
  const int64_t now_ns = clock_.MonotonicNs();
  SendBatch* batch = batches_.empty() ? &OpenBatch() : batches_.back().get();
  if (device_->Seal(parts, *batch, now_ns) != SealResult::kBatchFull) return;
  if (batches_.size() >= kFlushBatches && !blocked_) Flush();
  device_->Seal(parts, OpenBatch(), now_ns);
}

void Tunnel::Send(const Endpoint& to, absl::Span<const uint8_t> datagram) {
  if (batches_.size() >= kMaxBatches) {
    ++counters_.dropped_full;
    return;
  }
  uint8_t* place = batches_.empty() ? nullptr : batches_.back()->Reserve(to, datagram.size());
  if (place == nullptr) place = OpenBatch().Reserve(to, datagram.size());
  if (place != nullptr) std::copy(datagram.begin(), datagram.end(), place);
}

void Tunnel::Flush() {
  if (rebind_) {
    rebind_ = false;
    const absl::Status opened = OpenSocket(0);
    if (!opened.ok()) LOG(WARNING) << "the UDP socket was not opened anew: " << opened.message();
  }
  if (!blocked_ && !batches_.empty()) {
    outgoing_.clear();
    for (const auto& batch : batches_) {
      if (batch->empty()) continue;
      outgoing_.push_back({batch->to(), batch->bytes(), batch->segment_bytes()});
    }
    const size_t done = socket_->Send(outgoing_);
    SetBlocked(done < outgoing_.size());
    // Empty ones are at the end, if at all.
    for (size_t i = 0; i < (blocked_ ? done : batches_.size()); ++i) {
      batches_[i]->Clear();
      if (spare_.size() < kSpareBatches) spare_.push_back(std::move(batches_[i]));
    }
    batches_.erase(batches_.begin(), batches_.begin() + static_cast<ptrdiff_t>(blocked_ ? done : batches_.size()));
  }
  ArmTimer();
}

void Tunnel::SetBlocked(bool blocked) {
  if (blocked == blocked_) return;
  blocked_ = blocked;
  const absl::Status modified = loop_.ModifyFd(socket_->fd(), blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
  if (!modified.ok()) LOG(ERROR) << "UDP socket: " << modified.message();
}

void Tunnel::OnSocket(uint32_t events) {
  if ((events & EPOLLIN) != 0) ReceiveBurst();
  if ((events & EPOLLOUT) != 0 && blocked_) {
    SetBlocked(false);
    Flush();
    if (!blocked_) inside_.OnWritable();
  }
}

void Tunnel::ReceiveBurst() {
  for (int round = 0; round < kReceiveRounds; ++round) {
    const auto received = socket_->Receive();
    if (!received.ok()) {
      LOG_EVERY_N(WARNING, 1000) << received.status().message();
      break;
    }
    if (received->empty()) break;
    if (device_ == nullptr) continue;
    const int64_t now_ns = clock_.MonotonicNs();
    for (const Received& group : *received) device_->Receive(group.peer, group.bytes, group.segment_bytes, now_ns);
    inside_.OnBurstEnd();
  }
  Flush();
}

void Tunnel::OnTimer() {
  if (device_ != nullptr) device_->HandleTimers(clock_.MonotonicNs());
  Flush();
}

void Tunnel::ArmTimer() {
  if (device_ != nullptr) timer_->At(device_->next_deadline_ns());
}

void Tunnel::Deliver(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) {
  inside_.OnPacket(peer, packet);
}

void Tunnel::OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) {
  // Nobody answered for 90 s. From another port packets may get past a NAT or firewall that lost or blocked the flow.
  // A port that was asked for stays, and a peer of several may simply be off.
  if (event == wireguard::PeerEvent::kHandshakeGaveUp && peers_.size() == 1 && options_.listen_port == 0) {
    rebind_ = true;
  }
  inside_.OnPeerEvent(peer, event);
}

}  // namespace lattice::tunnel
