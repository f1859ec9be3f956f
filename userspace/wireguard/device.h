// A WireGuard interface without I/O: IP packets and datagrams in, datagrams and IP packets out, time given.
//
//   auto device = Device::Create({.private_key = key}, clock, SystemRandom(), output);
//   device->SetPeer({.public_key = peer, .endpoint = e, .allowed_ips = {prefix}}, now);
//   out:  while (device->Seal(packet, batch, now) == SealResult::kBatchFull) Flush(batch);   // then Flush(batch)
//   in:   device->Receive(from, buffer, gro_segment_bytes, now);     // delivers by Output
//   time: device->HandleTimers(now), at the latest at device->next_deadline_ns()
//
// The driver owns sockets and buffers: it receives up to 64 KiB by UDP_GRO, which are decrypted where they lie
// (Deliver() points into them), and keeps a SendBatch, which it sends when Seal() says so and at the end of each
// turn of its loop. No packet on a live session costs an allocation or a lock.
//
// `now_ns` is CLOCK_MONOTONIC and never goes back. One thread. Theory of operation: device_session.cc.
#ifndef USERSPACE_WIREGUARD_DEVICE_H_
#define USERSPACE_WIREGUARD_DEVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/clock.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/ip.h"
#include "userspace/wireguard/allowed_ips.h"
#include "userspace/wireguard/cookie.h"
#include "userspace/wireguard/index_table.h"
#include "userspace/wireguard/key.h"
#include "userspace/wireguard/load.h"
#include "userspace/wireguard/noise.h"
#include "userspace/wireguard/peer.h"
#include "userspace/wireguard/random.h"
#include "userspace/wireguard/results.h"
#include "userspace/wireguard/send_batch.h"
#include "userspace/wireguard/timer_queue.h"

namespace lattice::wireguard {

enum class PeerEvent : uint8_t {
  kSessionStarted,
  kHandshakeRetried,  // no response within REKEY_TIMEOUT: time to resolve the endpoint again, or bind anew
  kHandshakeGaveUp,   // nor within REKEY_ATTEMPT_TIME: what waited is dropped; the next packet begins again
};

// Takes what a Device has to give. Must not call the Device, but for Deliver(), which may call Seal().
class Output {
 public:
  virtual ~Output() = default;
  // A handshake message, cookie reply or keepalive, or a packet that waited for a session.
  virtual void Send(const Endpoint& to, absl::Span<const uint8_t> datagram) = 0;
  // An IP packet of the length its header says, from a source that is the peer's. It lies in the buffer given to
  // Receive() and may be changed.
  virtual void Deliver(const PublicKey& peer, absl::Span<uint8_t> packet) = 0;
  virtual void OnPeerEvent(const PublicKey& peer, PeerEvent event) {}
};

struct DeviceOptions {
  PrivateKey private_key;
  // Of the inner packets: padding never exceeds it. Longer packets are sent as they are.
  size_t mtu = 1420;
  // Handshake messages per second, of senders who know our public key, beyond which cookies are asked for.
  uint32_t handshakes_per_second = 250;
  // Remembered by the limit per source under load.
  size_t max_sources = 16'384;
};

struct PeerConfig {
  PublicKey public_key;
  PresharedKey preshared_key;
  std::optional<Endpoint> endpoint;     // nothing: as it is; a new peer is heard first
  uint16_t persistent_keepalive_s = 0;  // 0: none
  std::vector<IpPrefix> allowed_ips;    // all of them; each leaves the peer that had it
};

struct PeerStatus {
  PublicKey public_key;
  std::optional<Endpoint> endpoint;
  absl::Time last_handshake;  // InfinitePast: none yet
  uint64_t rx_bytes = 0, tx_bytes = 0;
  uint64_t staged_dropped = 0;
  int handshake_attempts = 0;  // since the last one that was answered
  bool has_session = false;    // packets can be sent at once
  uint16_t persistent_keepalive_s = 0;
  std::vector<IpPrefix> allowed_ips;
};

class Device {
 public:
  // FailedPrecondition where a primitive is missing, InvalidArgument for a private key of zeros or a useless MTU.
  // The references must outlive the device. `clock` is asked for the wall time of handshakes only.
  static absl::StatusOr<std::unique_ptr<Device>> Create(const DeviceOptions& options, const Clock& clock,
                                                        Random& random, Output& output);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const PublicKey& public_key() const { return local_.point; }

  // Adds the peer or makes it as told; its session goes on. InvalidArgument for our own key and for keys that
  // are no one's. With an endpoint and a persistent keepalive the handshake begins at once.
  absl::Status SetPeer(const PeerConfig& config, int64_t now_ns);
  // NotFound.
  absl::Status SetEndpoint(const PublicKey& peer, const Endpoint& endpoint);
  absl::Status RemovePeer(const PublicKey& peer);
  std::vector<PeerStatus> Peers() const;
  // Whether `address` is of some peer's allowed IPs.
  bool Reaches(const IpAddress& address) const { return allowed_ips_.Find(address) != kNoPeer; }

  // An IP packet to the peer that its destination belongs to. The parts are one packet, its header in the first;
  // a single part is read once, by the cipher.
  SealResult Seal(absl::Span<const Bytes> parts, SendBatch& batch, int64_t now_ns);
  SealResult Seal(Bytes packet, SendBatch& batch, int64_t now_ns) { return Seal({&packet, 1}, batch, now_ns); }

  // Datagrams of `segment_bytes` each, the last may be shorter, as UDP_GRO gives them; a single one if the two
  // sizes are the same. Its bytes are decrypted in place.
  void Receive(const Endpoint& from, absl::Span<uint8_t> buffer, size_t segment_bytes, int64_t now_ns);
  ReceiveResult ReceiveOne(const Endpoint& from, absl::Span<uint8_t> datagram, int64_t now_ns);

  // kNever when nothing is due: an idle device needs no wake-up. May be early, never late.
  int64_t next_deadline_ns() const { return timer_queue_.earliest_ns(); }
  void HandleTimers(int64_t now_ns);

  const DeviceCounters& counters() const { return counters_; }

 private:
  friend struct DeviceTestAccess;  // tests: counters of messages that no test can send

  Device(const DeviceOptions& options, const Clock& clock, Random& random, Output& output);

  // device.cc
  Peer* FindPeer(const PublicKey& key);
  PeerSlot NewSlot();

  // device_send.cc
  SealResult SealOrStage(absl::Span<const Bytes> parts, SendBatch& batch, int64_t now_ns);
  size_t PaddingOf(size_t packet_bytes) const;
  void Stage(Peer& peer, absl::Span<const Bytes> parts, size_t bytes);
  void FlushStaged(Peer& peer, int64_t now_ns);
  void SendKeepalive(Peer& peer, int64_t now_ns);
  void SealMessage(Peer& peer, Keypair& keypair, Bytes packet, size_t padding, uint8_t* out);
  void AfterData(Peer& peer, const Keypair& keypair, bool keepalive, int64_t now_ns);

  // device_receive.cc
  std::optional<ReceiveResult> RefuseHandshake(Bytes message, uint32_t sender, const Endpoint& from, int64_t now_ns);
  ReceiveResult ReceiveInitiation(const Endpoint& from, Bytes datagram, int64_t now_ns);
  ReceiveResult ReceiveResponse(const Endpoint& from, Bytes datagram, int64_t now_ns);
  ReceiveResult ReceiveCookieReply(Bytes datagram, int64_t now_ns);
  ReceiveResult ReceiveData(const Endpoint& from, absl::Span<uint8_t> datagram, int64_t now_ns);
  ReceiveResult DeliverPacket(Peer& peer, absl::Span<uint8_t> packet);
  void ReceivedFrom(Peer& peer, const Endpoint& from, size_t bytes, int64_t now_ns);

  // device_session.cc
  Keypair* UsableKeypair(Peer& peer, int64_t now_ns);
  void BeginHandshake(Peer& peer, int64_t now_ns);
  void SendInitiation(Peer& peer, int64_t now_ns);
  void StartSession(Peer& peer, const SessionKeys& keys, int64_t now_ns);
  void ConfirmSession(Peer& peer, int64_t now_ns);
  void SettleTwins(Peer& peer);
  void HandshakeComplete(Peer& peer);
  void DropKeypair(std::unique_ptr<Keypair>& keypair);
  void DropHandshake(Peer& peer);
  void DropKeys(Peer& peer);
  void SentAuthentic(Peer& peer, int64_t now_ns);
  void Arm(Peer& peer, Timer timer, int64_t at_ns);
  int64_t Jitter();
  void OnTimer(Peer& peer, Timer timer, int64_t now_ns);
  void OnNoResponse(Peer& peer, int64_t now_ns);

  const StaticKeys local_;
  const size_t mtu_;
  const Clock& clock_;
  Random& random_;
  Output& output_;
  CookieChecker checker_;
  LoadMeter load_;
  SourceLimiter limiter_;
  AllowedIps allowed_ips_;
  IndexTable indices_;
  TimerQueue timer_queue_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by slot; null: free
  absl::flat_hash_map<PublicKey, PeerSlot> by_key_;
  DeviceCounters counters_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_DEVICE_H_
