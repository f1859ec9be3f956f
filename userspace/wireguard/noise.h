// The handshake Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s of the paper's 5.4.2 and 5.4.3: pure state machines that
// turn keys and messages into messages and session keys. They draw no randomness, read no clock, and know
// neither MACs (cookie.h) nor whether a time stamp is new (the Device's work).
//
//   initiator: Start() -> 148 bytes, 92 bytes -> Finish()
//   responder: 148 bytes -> ReadStatic(), ReadTimestamp(); Respond() -> 92 bytes
//
// One thread per object.
#ifndef USERSPACE_WIREGUARD_NOISE_H_
#define USERSPACE_WIREGUARD_NOISE_H_

#include <cstdint>
#include <optional>

#include "userspace/wireguard/crypto.h"
#include "userspace/wireguard/key.h"
#include "userspace/wireguard/messages.h"
#include "userspace/wireguard/tai64n.h"

namespace lattice::wireguard {

// Ours, the same in every handshake.
struct StaticKeys {
  explicit StaticKeys(const PrivateKey& key) : secret(key), point(PublicOf(key)) {}
  PrivateKey secret;
  PublicKey point;
};

// What is known of a peer before any handshake.
struct PeerKeys {
  // Nothing when the peer's key is a point of small order, which is nobody's.
  static std::optional<PeerKeys> Make(const StaticKeys& local, const PublicKey& remote, const PresharedKey& preshared);
  PublicKey remote;
  PresharedKey preshared;
  SecretBytes<32> static_static;  // DH(static, static): computed once
};

struct SessionKeys {
  SymmetricKey send;
  SymmetricKey receive;
  uint32_t local_index = 0;   // the receiver field of what comes
  uint32_t remote_index = 0;  // and of what is sent
  bool initiator = false;
};

// Chaining key and transcript hash.
class Transcript {
 public:
  // Mixed with the responder's static key.
  void Begin(const PublicKey& responder);
  void MixHash(Bytes data);
  void MixKey(Bytes data);
  // Mixes `secret` and gives a key for one message.
  SymmetricKey MixKeyAndTake(Bytes secret);
  void Seal(const SymmetricKey& key, Bytes plain, uint8_t* out);
  bool Open(const SymmetricKey& key, Bytes sealed, uint8_t* out);
  // The preshared key; gives the key of the empty payload.
  SymmetricKey MixPreshared(const PresharedKey& preshared);
  // The two keys of the session, the initiator's sending one first.
  void Split(SymmetricKey* first, SymmetricKey* second);
  void Clear();

 private:
  SymmetricKey chain_;
  SecretBytes<kHashBytes> hash_;
};

class Initiator {
 public:
  // A new handshake, in place of any before. Fills all of `out` but the MACs.
  void Start(const StaticKeys& local, const PeerKeys& peer, const PrivateKey& ephemeral, uint32_t sender,
             const Tai64n& timestamp, InitiationMessage* out);
  // The session, and the handshake is over; nothing, and the handshake goes on, for a message that does not answer it.
  std::optional<SessionKeys> Finish(const StaticKeys& local, const PeerKeys& peer, const ResponseMessage& message);
  bool waiting() const { return waiting_; }
  uint32_t sender() const { return sender_; }
  void Clear();

 private:
  bool waiting_ = false;
  uint32_t sender_ = 0;
  PrivateKey ephemeral_;
  Transcript transcript_;
};

// Of one initiation.
class Responder {
 public:
  // Who sent it: the first half, before the peer's keys are known. False for what is not sealed for us.
  bool ReadStatic(const StaticKeys& local, const InitiationMessage& message);
  const PublicKey& remote() const { return remote_; }
  // The second half: proves that the sender holds the static key. False if not.
  bool ReadTimestamp(const PeerKeys& peer, const InitiationMessage& message, Tai64n* timestamp);
  // Fills all of `out` but the MACs. Nothing when the initiator's ephemeral key is a point of small order.
  std::optional<SessionKeys> Respond(const PeerKeys& peer, const PrivateKey& ephemeral, uint32_t sender,
                                     ResponseMessage* out);

 private:
  PublicKey remote_;
  PublicKey remote_ephemeral_;
  uint32_t remote_index_ = 0;
  Transcript transcript_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_NOISE_H_
