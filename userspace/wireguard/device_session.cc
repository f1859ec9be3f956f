// Theory of operation
//
// A session is a pair of keys with an index on each side. Its life (paper 6):
//
//   - A packet for a peer without a session waits, and an initiation goes out; it is repeated every REKEY_TIMEOUT
//     until it is answered or REKEY_ATTEMPT_TIME has passed. The initiator may send as soon as the response is
//     there; the responder when the first data has shown that the initiator has the keys (`next` -> `current`).
//   - The initiator renews a session that is REKEY_AFTER_TIME old when it sends, or nearly REJECT_AFTER_TIME old
//     when it only receives. Both refuse keys of REJECT_AFTER_TIME. All keys are zeroed after three times that.
//   - Who receives data and has nothing to send for KEEPALIVE_TIMEOUT sends an empty packet. So who sends data and
//     hears nothing for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT knows that the session is dead and begins anew.
//
// Each peer has five deadlines, changed by plain stores as packets pass. The device's heap holds one entry per peer,
// never later than the peer's earliest deadline: only a deadline that becomes the earliest touches the heap.
//
// Unlike the reference implementations, the handshake we began is kept while one of the peer's is answered. When
// both begin at once both complete, each side sends under one that the other has, and both settle on the session
// that the greater public key began (SettleTwins): so one side alone renews it.
#include <cstdlib>
#include <utility>

#include "glog/logging.h"
#include "userspace/wireguard/device.h"

namespace lattice::wireguard {

// With which packets can be sent now; null if there is none.
Keypair* Device::UsableKeypair(Peer& peer, int64_t now_ns) {
  Keypair* const keypair = peer.current.get();
  if (keypair == nullptr || now_ns - keypair->born_ns >= kRejectAfterNs || keypair->sent >= kRejectAfterMessages) {
    return nullptr;
  }
  return keypair;
}

// For a reason of our own, which gives the attempts their full time again.
void Device::BeginHandshake(Peer& peer, int64_t now_ns) {
  peer.handshake_began_ns = now_ns;
  SendInitiation(peer, now_ns);
}

void Device::SendInitiation(Peer& peer, int64_t now_ns) {
  if (!peer.endpoint.has_value()) return;
  if (peer.initiation_sent_ns.has_value() && now_ns - *peer.initiation_sent_ns < kRekeyTimeoutNs) return;
  peer.initiation_sent_ns = now_ns;
  // The peer takes only what is newer, also after our clock was set back.
  peer.newest_sent = std::max(Tai64n::From(clock_.Now()), peer.newest_sent.Next());
  DropHandshake(peer);
  PrivateKey ephemeral;
  random_.Fill(absl::MakeSpan(ephemeral.data(), ephemeral.size()));
  InitiationMessage message;
  peer.initiator.Start(local_, peer.keys, ephemeral, indices_.Add(peer.slot), peer.newest_sent, &message);
  peer.jar.AddMacs(MutableBytesOf(message), now_ns);
  ++peer.handshake_attempts;
  ++counters_.initiations_sent;
  peer.tx_bytes += sizeof message;
  SentAuthentic(peer, now_ns);
  Arm(peer, Timer::kRetransmitHandshake, now_ns + kRekeyTimeoutNs + Jitter());
  VLOG(1) << "handshake with " << peer.keys.remote.ToString() << " at " << peer.endpoint->ToString() << ", attempt "
          << peer.handshake_attempts;
  output_.Send(*peer.endpoint, BytesOf(message));
}

void Device::StartSession(Peer& peer, const SessionKeys& keys, int64_t now_ns) {
  auto keypair = std::make_unique<Keypair>(keys, now_ns);
  indices_.SetKeypair(keypair->local_index, keypair.get());
  DropKeypair(peer.previous);
  if (keys.initiator) {
    if (peer.next != nullptr) {
      // The peer began one too and may send under it.
      peer.previous = std::move(peer.next);
      DropKeypair(peer.current);
    } else {
      peer.previous = std::move(peer.current);
    }
    peer.current = std::move(keypair);
  } else {
    DropKeypair(peer.next);
    peer.next = std::move(keypair);
  }
  ++counters_.sessions;
  Arm(peer, Timer::kZeroKeys, now_ns + kZeroKeysNs);
}

// The initiator has sent under the keys of our response.
void Device::ConfirmSession(Peer& peer, int64_t now_ns) {
  DropKeypair(peer.previous);
  peer.previous = std::move(peer.current);
  peer.current = std::move(peer.next);
  HandshakeComplete(peer);
  FlushStaged(peer, now_ns);
}

// Something came under `previous`, so the peer has it as well as the session after it.
void Device::SettleTwins(Peer& peer) {
  const bool ours_wins = peer.keys.remote < local_.point;
  const bool twins = peer.previous->initiator != peer.current->initiator &&
                     std::abs(peer.previous->born_ns - peer.current->born_ns) < kRekeyTimeoutNs;
  if (twins && peer.previous->initiator == ours_wins) std::swap(peer.previous, peer.current);
}

void Device::HandshakeComplete(Peer& peer) {
  peer.timers.Cancel(Timer::kRetransmitHandshake);
  peer.handshake_attempts = 0;
  peer.sent_last_minute_handshake = false;
  peer.last_handshake = clock_.Now();
  output_.OnPeerEvent(peer.keys.remote, PeerEvent::kSessionStarted);
}

void Device::DropKeypair(std::unique_ptr<Keypair>& keypair) {
  if (keypair == nullptr) return;
  indices_.Remove(keypair->local_index);
  keypair = nullptr;
}

void Device::DropHandshake(Peer& peer) {
  if (!peer.initiator.waiting()) return;
  indices_.Remove(peer.initiator.sender());
  peer.initiator.Clear();
}

void Device::DropKeys(Peer& peer) {
  DropHandshake(peer);
  DropKeypair(peer.previous);
  DropKeypair(peer.current);
  DropKeypair(peer.next);
}

// Whatever we send shows the peer that we are there.
void Device::SentAuthentic(Peer& peer, int64_t now_ns) {
  peer.timers.Cancel(Timer::kSendKeepalive);
  peer.another_keepalive = false;
  if (peer.persistent_keepalive_ns != 0) {
    Arm(peer, Timer::kPersistentKeepalive, now_ns + peer.persistent_keepalive_ns);
  }
}

void Device::Arm(Peer& peer, Timer timer, int64_t at_ns) {
  peer.timers.Arm(timer, at_ns);
  timer_queue_.AtLatest(peer.slot, at_ns);
}

int64_t Device::Jitter() {
  return int64_t{random_.Next32() % (kMaxJitterMs + 1)} * (kSecondNs / 1000);
}

void Device::HandleTimers(int64_t now_ns) {
  for (PeerSlot slot = timer_queue_.PopDue(now_ns); slot != kNoPeer; slot = timer_queue_.PopDue(now_ns)) {
    Peer& peer = *peers_[slot];
    for (size_t i = 0; i < kTimers; ++i) {
      const Timer timer = static_cast<Timer>(i);
      if (peer.timers.at_ns(timer) > now_ns) continue;
      peer.timers.Cancel(timer);
      OnTimer(peer, timer, now_ns);
    }
    timer_queue_.AtLatest(slot, peer.timers.earliest_ns());
  }
}

void Device::OnTimer(Peer& peer, Timer timer, int64_t now_ns) {
  switch (timer) {
    case Timer::kRetransmitHandshake:
      return OnNoResponse(peer, now_ns);
    case Timer::kSendKeepalive: {
      const bool another = peer.another_keepalive;  // sending resets it
      SendKeepalive(peer, now_ns);
      if (another) Arm(peer, Timer::kSendKeepalive, now_ns + kKeepaliveNs);
      return;
    }
    case Timer::kNewHandshake:
      return BeginHandshake(peer, now_ns);
    case Timer::kZeroKeys:
      return DropKeys(peer);
    case Timer::kPersistentKeepalive:
      return SendKeepalive(peer, now_ns);
  }
}

void Device::OnNoResponse(Peer& peer, int64_t now_ns) {
  if (now_ns - peer.handshake_began_ns < kRekeyAttemptNs) {
    output_.OnPeerEvent(peer.keys.remote, PeerEvent::kHandshakeRetried);
    return SendInitiation(peer, now_ns);
  }
  VLOG(1) << "handshake with " << peer.keys.remote.ToString() << " given up after " << peer.handshake_attempts
          << " attempts";
  ++counters_.handshakes_given_up;
  peer.timers.Cancel(Timer::kSendKeepalive);
  const size_t dropped = peer.staged.Clear();
  peer.staged_dropped += dropped;
  counters_.staged_dropped += dropped;
  if (!peer.timers.armed(Timer::kZeroKeys)) Arm(peer, Timer::kZeroKeys, now_ns + kZeroKeysNs);
  output_.OnPeerEvent(peer.keys.remote, PeerEvent::kHandshakeGaveUp);
}

}  // namespace lattice::wireguard
