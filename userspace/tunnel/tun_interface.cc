#include "userspace/tunnel/tun_interface.h"

#include <glog/logging.h>
#include <sys/epoll.h>

#include <utility>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::tunnel {
namespace {

// Reads in a turn, of up to 64 KiB each; then others have theirs.
constexpr int kReads = 64;

}  // namespace

absl::StatusOr<std::unique_ptr<TunInterface>> TunInterface::Create(EventLoop& loop, const Clock& clock,
                                                                   const std::string& name,
                                                                   const TunnelOptions& options,
                                                                   std::function<void()> gone) {
  auto interface = absl::WrapUnique(new TunInterface(loop, std::move(gone)));
  LATTICE_ASSIGN_OR_RETURN(interface->tun_, TunDevice::Create(name, options.offload));
  LATTICE_ASSIGN_OR_RETURN(interface->tunnel_, Tunnel::Create(loop, clock, options, *interface));
  TunInterface* const raw = interface.get();
  LATTICE_RETURN_IF_ERROR(loop.AddFd(raw->tun_->fd(), EPOLLIN, [raw](uint32_t) { raw->OnTun(); }));
  interface->reading_ = true;
  return interface;
}

TunInterface::~TunInterface() {
  if (tun_ != nullptr) loop_.RemoveFd(tun_->fd());
}

void TunInterface::SetReading(bool reading) {
  if (reading == reading_) return;
  reading_ = reading;
  const absl::Status modified = loop_.ModifyFd(tun_->fd(), reading ? uint32_t{EPOLLIN} : 0);
  if (!modified.ok()) LOG(ERROR) << tun_->name() << ": " << modified.message();
}

void TunInterface::OnTun() {
  TunDevice::ReadResult result = TunDevice::ReadResult::kPacket;
  for (int i = 0; i < kReads && result == TunDevice::ReadResult::kPacket && tunnel_->writable(); ++i) {
    result = tun_->Read([this](absl::Span<uint8_t> packet) { tunnel_->Send(packet); });
  }
  tunnel_->Flush();
  if (result == TunDevice::ReadResult::kGone) {
    loop_.RemoveFd(tun_->fd());
    reading_ = false;
    return gone_();
  }
  if (!tunnel_->writable()) SetReading(false);
}

void TunInterface::OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) {
  if (event == wireguard::PeerEvent::kHandshakeRetried && retry_ != nullptr) retry_(peer);
}

}  // namespace lattice::tunnel
