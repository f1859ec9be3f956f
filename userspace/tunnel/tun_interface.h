// A WireGuard interface on a TUN device: what the kernel's module is where there is one, and wireguard-go elsewhere.
// Addresses, routes and "up" are the caller's (netlink). It goes with the object. One thread: the loop's.
#ifndef USERSPACE_TUNNEL_TUN_INTERFACE_H_
#define USERSPACE_TUNNEL_TUN_INTERFACE_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/tunnel/tun_device.h"
#include "userspace/tunnel/tunnel.h"

namespace lattice::tunnel {

class TunInterface : private Inside {
 public:
  // Makes `name` in the network namespace of the calling thread, down; the UDP socket is in that namespace too. `gone`
  // is called when somebody deletes the interface. References must outlive it.
  static absl::StatusOr<std::unique_ptr<TunInterface>> Create(EventLoop& loop, const Clock& clock,
                                                              const std::string& name, const TunnelOptions& options,
                                                              std::function<void()> gone);
  ~TunInterface() override;

  Tunnel& tunnel() { return *tunnel_; }
  const TunDevice& device() const { return *tun_; }
  // For peers whose handshakes are not answered: time to look where they are.
  void OnRetry(std::function<void(const wireguard::PublicKey&)> retry) { retry_ = std::move(retry); }

 private:
  TunInterface(EventLoop& loop, std::function<void()> gone) : loop_(loop), gone_(std::move(gone)) {}
  void OnTun();
  void SetReading(bool reading);
  void OnPacket(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) override { tun_->Write(packet); }
  void OnBurstEnd() override { tun_->Flush(); }
  void OnWritable() override { SetReading(true); }
  void OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) override;

  EventLoop& loop_;
  const std::function<void()> gone_;
  std::function<void(const wireguard::PublicKey&)> retry_;
  std::unique_ptr<TunDevice> tun_;
  std::unique_ptr<Tunnel> tunnel_;
  bool reading_ = false;
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_TUN_INTERFACE_H_
