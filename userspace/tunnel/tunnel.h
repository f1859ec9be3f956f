// WireGuard in an event loop: the engine, its UDP socket and its timers. What is inside the tunnel (a TUN device, a
// TCP/IP stack) is an Inside.
//
//   LATTICE_ASSIGN_OR_RETURN(auto tunnel, Tunnel::Create(loop, clock, {.listen_port = 51820}, inside));
//   LATTICE_RETURN_IF_ERROR(tunnel->SetPrivateKey(key));
//   LATTICE_RETURN_IF_ERROR(tunnel->SetPeer({.public_key = peer, .endpoint = …, .allowed_ips = …}));
//   while (tunnel->writable() && MorePackets()) tunnel->Send(packet);
//   tunnel->Flush();
//
// Nothing waits: what a turn of the loop sealed is sent at its end. One thread: the loop's.
#ifndef USERSPACE_TUNNEL_TUNNEL_H_
#define USERSPACE_TUNNEL_TUNNEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/clock.h"
#include "userspace/base/event_loop.h"
#include "userspace/tunnel/deadline_timer.h"
#include "userspace/tunnel/udp_socket.h"
#include "userspace/wireguard/device.h"

namespace lattice::tunnel {

class Inside {
 public:
  virtual ~Inside() = default;
  // An IP packet from `peer`. Its bytes stay, and may be changed, until OnBurstEnd().
  virtual void OnPacket(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) = 0;
  virtual void OnBurstEnd() = 0;
  // The tunnel was not writable() and is again.
  virtual void OnWritable() = 0;
  virtual void OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) {}
};

struct TunnelOptions {
  uint16_t listen_port = 0;  // 0: the kernel's choice
  uint32_t mark = 0;         // of the outer packets (SO_MARK)
  size_t mtu = 1420;         // of the inner packets
  bool offload = true;
};

class Tunnel : private wireguard::Output {
 public:
  struct Counters {
    uint64_t dropped_full = 0;    // sealed while the socket was full, beyond what is held
    uint64_t dropped_no_key = 0;  // before there was a private key
  };

  // Opens the socket. `loop`, `clock` and `inside` must outlive it.
  static absl::StatusOr<std::unique_ptr<Tunnel>> Create(EventLoop& loop, const Clock& clock,
                                                        const TunnelOptions& options, Inside& inside);
  ~Tunnel() override;

  // Before the first, nothing goes in or out. Another key ends all sessions; the peers stay.
  absl::Status SetPrivateKey(const wireguard::PrivateKey& key);
  // Sessions go on from the new socket. On an error the old one stays.
  absl::Status SetListenPort(uint16_t port);
  absl::Status SetMark(uint32_t mark);
  // As Device::SetPeer. An endpoint that is not given stays.
  absl::Status SetPeer(const wireguard::PeerConfig& config);
  absl::Status SetEndpoint(const wireguard::PublicKey& peer, const Endpoint& endpoint);
  absl::Status RemovePeer(wireguard::PublicKey peer);

  // False: the socket is full. What is sent now is held, but only so much of it.
  bool writable() const { return !blocked_; }
  // An IP packet, in parts, its header in the first. It is copied by the cipher.
  void Send(absl::Span<const wireguard::Bytes> parts);
  void Send(absl::Span<const uint8_t> packet) { Send({&packet, 1}); }
  // At the end of each turn that sent something.
  void Flush();

  const wireguard::Device* device() const { return device_.get(); }  // null before there is a key
  const std::map<wireguard::PublicKey, wireguard::PeerConfig>& peers() const { return peers_; }
  const std::optional<wireguard::PrivateKey>& private_key() const { return private_key_; }
  uint16_t port() const { return socket_->port(); }
  uint32_t mark() const { return options_.mark; }
  const UdpSocket& socket() const { return *socket_; }
  const Counters& counters() const { return counters_; }

 private:
  Tunnel(EventLoop& loop, const Clock& clock, const TunnelOptions& options, Inside& inside)
      : loop_(loop), clock_(clock), options_(options), inside_(inside) {}

  // wireguard::Output
  void Send(const Endpoint& to, absl::Span<const uint8_t> datagram) override;
  void Deliver(const wireguard::PublicKey& peer, absl::Span<uint8_t> packet) override;
  void OnPeerEvent(const wireguard::PublicKey& peer, wireguard::PeerEvent event) override;

  absl::Status OpenSocket(uint16_t port);
  wireguard::SendBatch& OpenBatch();
  void OnSocket(uint32_t events);
  void OnTimer();
  void ReceiveBurst();
  void ArmTimer();
  void SetBlocked(bool blocked);

  EventLoop& loop_;
  const Clock& clock_;
  TunnelOptions options_;
  Inside& inside_;
  std::optional<wireguard::PrivateKey> private_key_;
  std::map<wireguard::PublicKey, wireguard::PeerConfig> peers_;
  std::unique_ptr<UdpSocket> socket_;
  std::unique_ptr<DeadlineTimer> timer_;
  std::unique_ptr<wireguard::Device> device_;
  // Sealed and not sent; the last may take more. Those that were sent are kept to be used again.
  std::vector<std::unique_ptr<wireguard::SendBatch>> batches_;
  std::vector<std::unique_ptr<wireguard::SendBatch>> spare_;
  std::vector<Outgoing> outgoing_;
  bool blocked_ = false;
  bool rebind_ = false;
  Counters counters_;
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_TUNNEL_H_
