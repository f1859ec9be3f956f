// What a Device keeps of a peer: sessions, the handshake under way, timers, counters. Plain state; the rules are
// the Device's. One thread.
#ifndef USERSPACE_WIREGUARD_PEER_H_
#define USERSPACE_WIREGUARD_PEER_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/time/time.h"
#include "userspace/base/endpoint.h"
#include "userspace/wireguard/aead.h"
#include "userspace/wireguard/allowed_ips.h"
#include "userspace/wireguard/constants.h"
#include "userspace/wireguard/cookie.h"
#include "userspace/wireguard/noise.h"
#include "userspace/wireguard/replay_window.h"
#include "userspace/wireguard/staged_queue.h"
#include "userspace/wireguard/tai64n.h"
#include "userspace/wireguard/timer_queue.h"

namespace lattice::wireguard {

// The keys of one session.
struct Keypair {
  Keypair(const SessionKeys& keys, int64_t now_ns)
      : sending(keys.send, Aead::Direction::kSeal),
        receiving(keys.receive, Aead::Direction::kOpen),
        born_ns(now_ns),
        local_index(keys.local_index),
        remote_index(keys.remote_index),
        initiator(keys.initiator) {}

  Aead sending, receiving;
  ReplayWindow window;
  uint64_t sent = 0;  // counter of the next message
  const int64_t born_ns;
  const uint32_t local_index, remote_index;
  const bool initiator;  // we began the handshake, so we begin the next one
};

enum class Timer : uint8_t {
  kRetransmitHandshake,  // no response
  kSendKeepalive,        // we received and had nothing to send
  kNewHandshake,         // we sent and nothing came
  kZeroKeys,             // no new session for long
  kPersistentKeepalive,  // by configuration
};
inline constexpr size_t kTimers = 5;

class PeerTimers {
 public:
  PeerTimers() { at_ns_.fill(kNever); }
  void Arm(Timer timer, int64_t at_ns) { at_ns_[static_cast<size_t>(timer)] = at_ns; }
  void Cancel(Timer timer) { Arm(timer, kNever); }
  bool armed(Timer timer) const { return at_ns(timer) != kNever; }
  int64_t at_ns(Timer timer) const { return at_ns_[static_cast<size_t>(timer)]; }
  int64_t earliest_ns() const { return *std::min_element(at_ns_.begin(), at_ns_.end()); }

 private:
  std::array<int64_t, kTimers> at_ns_;
};

struct Peer {
  Peer(PeerSlot place, const PeerKeys& peer_keys) : slot(place), keys(peer_keys), jar(peer_keys.remote) {}

  const PeerSlot slot;
  PeerKeys keys;
  CookieJar jar;
  std::optional<Endpoint> endpoint;  // of the last authentic message, or as configured
  int64_t persistent_keepalive_ns = 0;

  // A session of ours as responder begins as `next`; its first data shows that the initiator has the keys too,
  // and it becomes `current`. What was sent under the one before may still come.
  std::unique_ptr<Keypair> previous, current, next;
  Initiator initiator;
  StagedQueue staged;
  PeerTimers timers;

  Tai64n newest_seen;  // in an initiation of the peer
  Tai64n newest_sent;
  std::optional<int64_t> initiation_sent_ns, initiation_seen_ns;
  int64_t handshake_began_ns = 0;  // first of the attempts
  int handshake_attempts = 0;
  bool sent_last_minute_handshake = false;
  bool another_keepalive = false;  // data came while one was due

  uint64_t rx_bytes = 0, tx_bytes = 0;  // of datagrams, as `wg show` counts
  uint64_t staged_dropped = 0;
  absl::Time last_handshake = absl::InfinitePast();
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_PEER_H_
