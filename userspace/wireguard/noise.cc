// Theory of operation
//
// Both sides keep a chaining key C, from which keys are derived, and a hash H of all that was said. In the
// paper's letters (E ephemeral, S static, i initiator, r responder, Q the preshared key):
//
//   both        C = HASH(construction), H = HASH(HASH(C || identifier) || Sr)
//   initiation  Ei; C = KDF1(C, Ei); (C, k) = KDF2(C, DH(Ei, Sr)), Si sealed with k over H;
//               (C, k) = KDF2(C, DH(Si, Sr)), time stamp sealed
//   response    Er; C = KDF1(C, Er); C = KDF1(C, DH(Er, Ei)); C = KDF1(C, DH(Er, Si));
//               (C, t, k) = KDF3(C, Q), H mixed with t, nothing sealed with k
//   session     (Ti, Tr) = KDF2(C, nothing)
//
// and each field on the wire is mixed into H. Each key seals one message, hence counter 0.
#include "userspace/wireguard/noise.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/string_view.h"

namespace lattice::wireguard {
namespace {

constexpr absl::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr absl::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";

Bytes TextBytes(absl::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

template <size_t N>
Bytes View(const SecretBytes<N>& secret) {
  return {secret.data(), N};
}

struct Begun {
  Hash chain;
  Hash hash;  // before the responder's static key
};

const Begun& Constants() {
  static const Begun begun = [] {
    const Hash chain = Blake2s({TextBytes(kConstruction)});
    return Begun{.chain = chain, .hash = Blake2s({chain, TextBytes(kIdentifier)})};
  }();
  return begun;
}

PublicKey KeyIn(const uint8_t bytes[kKeyBytes]) {
  PublicKey key;
  std::memcpy(key.bytes.data(), bytes, kKeyBytes);
  return key;
}

}  // namespace

std::optional<PeerKeys> PeerKeys::Make(const StaticKeys& local, const PublicKey& remote,
                                       const PresharedKey& preshared) {
  PeerKeys keys{.remote = remote, .preshared = preshared};
  if (!SharedSecret(local.secret, remote, &keys.static_static)) return std::nullopt;
  return keys;
}

void Transcript::Begin(const PublicKey& responder) {
  std::memcpy(chain_.data(), Constants().chain.data(), kHashBytes);
  std::memcpy(hash_.data(), Constants().hash.data(), kHashBytes);
  MixHash(responder.bytes);
}

void Transcript::MixHash(Bytes data) {
  const Hash mixed = Blake2s({View(hash_), data});
  std::memcpy(hash_.data(), mixed.data(), kHashBytes);
}

void Transcript::MixKey(Bytes data) {
  Kdf(chain_, data, {&chain_});
}

SymmetricKey Transcript::MixKeyAndTake(Bytes secret) {
  SymmetricKey key;
  Kdf(chain_, secret, {&chain_, &key});
  return key;
}

void Transcript::Seal(const SymmetricKey& key, Bytes plain, uint8_t* out) {
  SealOnce(key, 0, View(hash_), plain, out);
  MixHash({out, plain.size() + kTagBytes});
}

bool Transcript::Open(const SymmetricKey& key, Bytes sealed, uint8_t* out) {
  if (!OpenOnce(key, 0, View(hash_), sealed, out)) return false;
  MixHash(sealed);
  return true;
}

SymmetricKey Transcript::MixPreshared(const PresharedKey& preshared) {
  SymmetricKey mixed, key;
  Kdf(chain_, View(preshared), {&chain_, &mixed, &key});
  MixHash(View(mixed));
  return key;
}

void Transcript::Split(SymmetricKey* first, SymmetricKey* second) {
  Kdf(chain_, {}, {first, second});
}

void Transcript::Clear() {
  chain_.Clear();
  hash_.Clear();
}

void Initiator::Start(const StaticKeys& local, const PeerKeys& peer, const PrivateKey& ephemeral, uint32_t sender,
                      const Tai64n& timestamp, InitiationMessage* out) {
  *out = {};
  out->type.set(static_cast<uint32_t>(MessageType::kInitiation));
  out->sender.set(sender);
  sender_ = sender;
  ephemeral_ = ephemeral;
  transcript_.Begin(peer.remote);

  const PublicKey point = PublicOf(ephemeral);
  std::memcpy(out->ephemeral, point.bytes.data(), kKeyBytes);
  transcript_.MixHash(point.bytes);
  transcript_.MixKey(point.bytes);

  SecretBytes<32> shared;
  // Never of small order: PeerKeys::Make has tried this point.
  waiting_ = SharedSecret(ephemeral_, peer.remote, &shared);
  transcript_.Seal(transcript_.MixKeyAndTake(View(shared)), local.point.bytes, out->sealed_static);
  transcript_.Seal(transcript_.MixKeyAndTake(View(peer.static_static)), timestamp.bytes, out->sealed_timestamp);
}

std::optional<SessionKeys> Initiator::Finish(const StaticKeys& local, const PeerKeys& peer,
                                             const ResponseMessage& message) {
  if (!waiting_ || message.receiver.get() != sender_) return std::nullopt;
  // On a copy: a forged answer must not spoil the handshake for the true one.
  Transcript transcript = transcript_;
  const PublicKey point = KeyIn(message.ephemeral);
  transcript.MixHash(point.bytes);
  transcript.MixKey(point.bytes);
  SecretBytes<32> shared;
  if (!SharedSecret(ephemeral_, point, &shared)) return std::nullopt;
  transcript.MixKey(View(shared));
  if (!SharedSecret(local.secret, point, &shared)) return std::nullopt;
  transcript.MixKey(View(shared));
  const SymmetricKey key = transcript.MixPreshared(peer.preshared);
  uint8_t nothing[1];
  if (!transcript.Open(key, message.sealed_nothing, nothing)) return std::nullopt;

  SessionKeys session;
  transcript.Split(&session.send, &session.receive);
  session.local_index = sender_;
  session.remote_index = message.sender.get();
  session.initiator = true;
  Clear();
  return session;
}

void Initiator::Clear() {
  waiting_ = false;
  ephemeral_.Clear();
  transcript_.Clear();
}

bool Responder::ReadStatic(const StaticKeys& local, const InitiationMessage& message) {
  remote_index_ = message.sender.get();
  remote_ephemeral_ = KeyIn(message.ephemeral);
  transcript_.Begin(local.point);
  transcript_.MixHash(remote_ephemeral_.bytes);
  transcript_.MixKey(remote_ephemeral_.bytes);
  SecretBytes<32> shared;
  if (!SharedSecret(local.secret, remote_ephemeral_, &shared)) return false;
  return transcript_.Open(transcript_.MixKeyAndTake(View(shared)), message.sealed_static, remote_.bytes.data());
}

bool Responder::ReadTimestamp(const PeerKeys& peer, const InitiationMessage& message, Tai64n* timestamp) {
  const SymmetricKey key = transcript_.MixKeyAndTake(View(peer.static_static));
  return transcript_.Open(key, message.sealed_timestamp, timestamp->bytes.data());
}

std::optional<SessionKeys> Responder::Respond(const PeerKeys& peer, const PrivateKey& ephemeral, uint32_t sender,
                                              ResponseMessage* out) {
  *out = {};
  out->type.set(static_cast<uint32_t>(MessageType::kResponse));
  out->sender.set(sender);
  out->receiver.set(remote_index_);

  const PublicKey point = PublicOf(ephemeral);
  std::memcpy(out->ephemeral, point.bytes.data(), kKeyBytes);
  transcript_.MixHash(point.bytes);
  transcript_.MixKey(point.bytes);
  SecretBytes<32> shared;
  if (!SharedSecret(ephemeral, remote_ephemeral_, &shared)) return std::nullopt;
  transcript_.MixKey(View(shared));
  if (!SharedSecret(ephemeral, peer.remote, &shared)) return std::nullopt;
  transcript_.MixKey(View(shared));
  transcript_.Seal(transcript_.MixPreshared(peer.preshared), {}, out->sealed_nothing);

  SessionKeys session;
  transcript_.Split(&session.receive, &session.send);
  transcript_.Clear();
  session.local_index = sender;
  session.remote_index = remote_index_;
  return session;
}

}  // namespace lattice::wireguard
