#include "userspace/sandbox/overlay_stack.h"

#include <array>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::sandbox {
namespace {

// Packets given to the tunnel between two looks at whether it takes more: some batches of the socket.
constexpr size_t kRoom = 256;
// A header, and payload that lies in this many pieces of the send ring at most.
constexpr size_t kMaxParts = 8;

}  // namespace

absl::StatusOr<std::unique_ptr<OverlayStack>> OverlayStack::Create(EventLoop& loop, const Clock& clock,
                                                                   const tunnel::TunnelOptions& tunnel_options,
                                                                   const netstack::Options& stack_options,
                                                                   netstack::Application& application,
                                                                   netstack::FlowJudge* judge) {
  auto overlay = absl::WrapUnique(new OverlayStack(loop, clock, stack_options, application, judge));
  OverlayStack* const raw = overlay.get();
  LATTICE_ASSIGN_OR_RETURN(overlay->tunnel_, tunnel::Tunnel::Create(loop, clock, tunnel_options, *overlay));
  LATTICE_ASSIGN_OR_RETURN(overlay->timer_, tunnel::DeadlineTimer::Create(loop, [raw] { raw->Turn(); }));
  return overlay;
}

void OverlayStack::Turn() {
  if (turning_) return;
  turning_ = true;
  stack_.Poll(clock_.MonotonicNs(), *this);
  turning_ = false;
  tunnel_->Flush();
  // What the tunnel has no room for goes when it has, not by the clock.
  if (tunnel_->writable()) timer_->At(stack_.NextDeadline());
}

void OverlayStack::OnPacket(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) {
  stack_.Receive(packet, clock_.MonotonicNs());
}

void OverlayStack::OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) {
  if (event == wireguard::PeerEvent::kHandshakeRetried && retry_ != nullptr) retry_(peer);
}

size_t OverlayStack::Room() {
  return tunnel_->writable() ? kRoom : 0;
}

void OverlayStack::Take(const netstack::PacketBurst& burst) {
  std::array<wireguard::Bytes, kMaxParts> parts;
  for (size_t packet = 0; packet < burst.count; ++packet) {
    parts[0] = {burst.headers + packet * burst.header_bytes, burst.header_bytes};
    size_t count = 1;
    burst.VisitPayload(packet, [&](const uint8_t* data, size_t bytes) {
      if (count < kMaxParts) parts[count++] = {data, bytes};
    });
    tunnel_->Send(absl::MakeConstSpan(parts.data(), count));
  }
}

}  // namespace lattice::sandbox
