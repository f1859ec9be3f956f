// A host on the overlay inside this process: our TCP/IP stack on our WireGuard engine, in an event loop. No privilege,
// no device.
//
//   LATTICE_ASSIGN_OR_RETURN(auto overlay, OverlayStack::Create(loop, clock, {}, {.addresses = {mine}}, application));
//   overlay->tunnel().SetPrivateKey(key); overlay->tunnel().SetPeer(peer);
//   overlay->stack().Connect(remote, {});
//   overlay->TurnSoon();    // whenever something was done with the stack from outside of its callbacks
//
// One thread: the loop's.
#ifndef USERSPACE_SANDBOX_OVERLAY_STACK_H_
#define USERSPACE_SANDBOX_OVERLAY_STACK_H_

#include <functional>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/netstack/stack.h"
#include "userspace/tunnel/deadline_timer.h"
#include "userspace/tunnel/tunnel.h"

namespace lattice::sandbox {

class OverlayStack : private tunnel::Inside, private netstack::PacketSink {
 public:
  // References and pointers must outlive it. `judge` may be null.
  static absl::StatusOr<std::unique_ptr<OverlayStack>> Create(EventLoop& loop, const Clock& clock,
                                                              const tunnel::TunnelOptions& tunnel_options,
                                                              const netstack::Options& stack_options,
                                                              netstack::Application& application,
                                                              netstack::FlowJudge* judge = nullptr);

  netstack::Stack& stack() { return stack_; }
  const netstack::Stack& stack() const { return stack_; }
  tunnel::Tunnel& tunnel() { return *tunnel_; }
  const tunnel::Tunnel& tunnel() const { return *tunnel_; }
  // Does what the stack has to do now and sends what it has to send. From within a callback of the stack it is done
  // when that returns.
  void Turn();
  // The same at the end of the loop's turn, once for all that is done in it.
  void TurnSoon() {
    if (!turning_) turn_.Request();
  }
  // Whether `address` is some peer's: what is sent to others goes nowhere.
  bool Reaches(const IpAddress& address) const {
    return tunnel_->device() != nullptr && tunnel_->device()->Reaches(address);
  }
  // When peers do not answer.
  void OnRetry(std::function<void(const wireguard::PublicKey&)> retry) { retry_ = std::move(retry); }

 private:
  OverlayStack(EventLoop& loop, const Clock& clock, const netstack::Options& options,
               netstack::Application& application, netstack::FlowJudge* judge)
      : clock_(clock), stack_(options, application, judge), turn_(loop, [this] { Turn(); }) {}

  // tunnel::Inside
  void OnPacket(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) override;
  void OnBurstEnd() override { Turn(); }
  void OnWritable() override { Turn(); }
  void OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) override;
  // netstack::PacketSink
  size_t Room() override;
  void Take(const netstack::PacketBurst& burst) override;

  const Clock& clock_;
  netstack::Stack stack_;
  std::unique_ptr<tunnel::Tunnel> tunnel_;
  std::unique_ptr<tunnel::DeadlineTimer> timer_;
  EventLoop::EndOfTurn turn_;
  std::function<void(const wireguard::PublicKey&)> retry_;
  bool turning_ = false;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_OVERLAY_STACK_H_
