// The primitives WireGuard names, for handshakes and cookies: BLAKE2s with HMAC and the KDF of the paper
// (5.4), X25519, one-shot ChaCha20-Poly1305 and XChaCha20-Poly1305. What seals packets is aead.h.
//
// CryptoReady() once before the rest; the functions then can not fail but by what they are given. Any
// thread.
#ifndef USERSPACE_WIREGUARD_CRYPTO_H_
#define USERSPACE_WIREGUARD_CRYPTO_H_

#include <array>
#include <cstdint>
#include <initializer_list>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "userspace/wireguard/key.h"
#include "userspace/wireguard/secret.h"

namespace lattice::wireguard {

inline constexpr size_t kHashBytes = 32;
inline constexpr size_t kMacBytes = 16;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kXNonceBytes = 24;

using Bytes = absl::Span<const uint8_t>;
using Hash = std::array<uint8_t, kHashBytes>;
using Mac = std::array<uint8_t, kMacBytes>;
using SymmetricKey = SecretBytes<32>;

// FailedPrecondition when OpenSSL or libsodium here lack a primitive.
absl::Status CryptoReady();

// HASH of the parts in order.
Hash Blake2s(std::initializer_list<Bytes> parts);
// The keyed BLAKE2s with 16 bytes of output: MAC of the paper. The key has at most 32 bytes.
Mac Blake2sMac(Bytes key, std::initializer_list<Bytes> parts);
// HMAC over BLAKE2s. The key has at most 64 bytes.
SecretBytes<kHashBytes> HmacBlake2s(Bytes key, std::initializer_list<Bytes> parts);
// KDF1 to KDF3: `outputs` in order. An output may be the key itself.
void Kdf(const SymmetricKey& key, Bytes input, std::initializer_list<SymmetricKey*> outputs);

PublicKey PublicOf(const PrivateKey& key);
// DH. False for a point of small order, with which no secret is shared.
bool SharedSecret(const PrivateKey& key, const PublicKey& point, SecretBytes<32>* out);

// `out` has plain.size() + 16 bytes.
void SealOnce(const SymmetricKey& key, uint64_t counter, Bytes additional, Bytes plain, uint8_t* out);
// `out` has sealed.size() - 16 bytes. False, and nothing of use in `out`, for what was not sealed so.
bool OpenOnce(const SymmetricKey& key, uint64_t counter, Bytes additional, Bytes sealed, uint8_t* out);
// The same with the long nonce.
void XSeal(const SymmetricKey& key, const uint8_t nonce[kXNonceBytes], Bytes additional, Bytes plain, uint8_t* out);
bool XOpen(const SymmetricKey& key, const uint8_t nonce[kXNonceBytes], Bytes additional, Bytes sealed, uint8_t* out);

// In constant time; of the same size.
bool SameBytes(const uint8_t* a, const uint8_t* b, size_t size);

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_CRYPTO_H_
