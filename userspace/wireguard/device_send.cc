// Packets on their way out: to their peer, into a batch, or to wait for a session.
#include <algorithm>
#include <cstring>
#include <utility>

#include "userspace/wireguard/device.h"

namespace lattice::wireguard {
namespace {

constexpr size_t kMaxPacketBytes = SendBatch::kMaxBytes - kDataOverhead;

bool ReadDestination(Bytes header, IpAddress* destination) {
  if (header.size() >= 20 && header[0] >> 4 == 4) {
    *destination = IpAddress::FromV4({header[16], header[17], header[18], header[19]});
    return true;
  }
  if (header.size() >= 40 && header[0] >> 4 == 6) {
    *destination = IpAddress::FromBytes(header.data() + 24);
    return !destination->is_v4();  // ::ffff:a.b.c.d is never on a wire, and would be routed as IPv4
  }
  return false;
}

void CopyParts(absl::Span<const Bytes> parts, uint8_t* out) {
  for (const Bytes part : parts) out = std::copy(part.begin(), part.end(), out);
}

}  // namespace

SealResult Device::Seal(absl::Span<const Bytes> parts, SendBatch& batch, int64_t now_ns) {
  const SealResult result = SealOrStage(parts, batch, now_ns);
  if (result != SealResult::kBatchFull) ++counters_.sealed[static_cast<size_t>(result)];
  return result;
}

SealResult Device::SealOrStage(absl::Span<const Bytes> parts, SendBatch& batch, int64_t now_ns) {
  IpAddress destination;
  if (parts.empty() || !ReadDestination(parts.front(), &destination)) return SealResult::kNotIp;
  size_t bytes = 0;
  for (const Bytes part : parts) bytes += part.size();
  if (bytes > kMaxPacketBytes) return SealResult::kTooLong;
  const PeerSlot slot = allowed_ips_.Find(destination);
  if (slot == kNoPeer) return SealResult::kNoRoute;
  Peer& peer = *peers_[slot];
  if (!peer.endpoint.has_value()) return SealResult::kNoEndpoint;

  Keypair* const keypair = UsableKeypair(peer, now_ns);
  if (keypair == nullptr) {
    Stage(peer, parts, bytes);
    BeginHandshake(peer, now_ns);
    return SealResult::kStaged;
  }
  const size_t padding = PaddingOf(bytes);
  uint8_t* const out = batch.Reserve(*peer.endpoint, bytes + padding + kDataOverhead);
  if (out == nullptr) return SealResult::kBatchFull;
  if (parts.size() == 1) {
    SealMessage(peer, *keypair, parts.front(), padding, out);
  } else {
    CopyParts(parts, out + sizeof(DataHeader));
    SealMessage(peer, *keypair, {out + sizeof(DataHeader), bytes}, padding, out);
  }
  AfterData(peer, *keypair, /*keepalive=*/false, now_ns);
  return SealResult::kSealed;
}

// To a multiple of 16, but no further than the MTU.
size_t Device::PaddingOf(size_t packet_bytes) const {
  const size_t padded = (packet_bytes + kPaddingBytes - 1) / kPaddingBytes * kPaddingBytes;
  return packet_bytes >= mtu_ ? 0 : std::min(padded, mtu_) - packet_bytes;
}

void Device::Stage(Peer& peer, absl::Span<const Bytes> parts, size_t bytes) {
  StagedPacket packet{.packet_bytes = bytes};
  packet.message.resize(bytes + PaddingOf(bytes) + kDataOverhead);
  CopyParts(parts, packet.message.data() + sizeof(DataHeader));
  if (peer.staged.Push(std::move(packet))) return;
  ++peer.staged_dropped;
  ++counters_.staged_dropped;
}

void Device::FlushStaged(Peer& peer, int64_t now_ns) {
  while (!peer.staged.empty()) {
    Keypair* const keypair = UsableKeypair(peer, now_ns);
    if (keypair == nullptr) return BeginHandshake(peer, now_ns);
    StagedPacket packet = peer.staged.Pop();
    const size_t padding = packet.message.size() - kDataOverhead - packet.packet_bytes;
    uint8_t* const out = packet.message.data();
    SealMessage(peer, *keypair, {out + sizeof(DataHeader), packet.packet_bytes}, padding, out);
    output_.Send(*peer.endpoint, packet.message);
    AfterData(peer, *keypair, /*keepalive=*/false, now_ns);
  }
}

// An empty packet, or a handshake where there is no session: its end sends one.
void Device::SendKeepalive(Peer& peer, int64_t now_ns) {
  if (!peer.endpoint.has_value()) return;
  Keypair* const keypair = UsableKeypair(peer, now_ns);
  if (keypair == nullptr) return BeginHandshake(peer, now_ns);
  uint8_t message[kDataOverhead];
  SealMessage(peer, *keypair, {}, 0, message);
  output_.Send(*peer.endpoint, message);
  AfterData(peer, *keypair, /*keepalive=*/true, now_ns);
}

// `packet` may lie where it goes in `out`.
void Device::SealMessage(Peer& peer, Keypair& keypair, Bytes packet, size_t padding, uint8_t* out) {
  const uint64_t counter = keypair.sent++;
  DataHeader header;
  header.type.set(static_cast<uint32_t>(MessageType::kData));
  header.receiver.set(keypair.remote_index);
  header.counter.set(counter);
  std::memcpy(out, &header, sizeof header);
  keypair.sending.Seal(counter, packet, padding, out + sizeof header);
  peer.tx_bytes += packet.size() + padding + kDataOverhead;
}

// The session's initiator renews it; both do when the counter says so.
void Device::AfterData(Peer& peer, const Keypair& keypair, bool keepalive, int64_t now_ns) {
  SentAuthentic(peer, now_ns);
  // An answer is expected to data, if only a keepalive.
  if (!keepalive && !peer.timers.armed(Timer::kNewHandshake)) {
    Arm(peer, Timer::kNewHandshake, now_ns + kKeepaliveNs + kRekeyTimeoutNs + Jitter());
  }
  const bool old = keypair.initiator && now_ns - keypair.born_ns >= kRekeyAfterNs;
  if (old || keypair.sent > kRekeyAfterMessages) BeginHandshake(peer, now_ns);
}

}  // namespace lattice::wireguard
