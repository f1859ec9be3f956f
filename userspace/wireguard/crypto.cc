// Each primitive from the library that has it: BLAKE2s is OpenSSL's alone, XChaCha20 libsodium's alone;
// X25519 and the one-shot AEAD are taken from libsodium, whose calls need no object made per use.
#include "userspace/wireguard/crypto.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sodium.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "glog/logging.h"
#include "userspace/wireguard/random.h"

namespace lattice::wireguard {
namespace {

constexpr size_t kBlockBytes = 64;  // of BLAKE2s

template <auto kFree>
struct Free {
  template <typename T>
  void operator()(T* p) const {
    kFree(p);
  }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Free<EVP_MAC_CTX_free>>;

// Fetched once: a fetch by name takes longer than a hash. Never freed, as OpenSSL's own tables.
const EVP_MD* Digest() {
  static const EVP_MD* const digest = EVP_MD_fetch(nullptr, "BLAKE2S-256", nullptr);
  return digest;
}

EVP_MAC* KeyedDigest() {
  static EVP_MAC* const mac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);
  return mac;
}

bool SodiumReady() {
  static const bool ready = sodium_init() >= 0;
  return ready;
}

void DigestParts(std::initializer_list<Bytes> first, std::initializer_list<Bytes> second, uint8_t* out) {
  thread_local const DigestContext context(EVP_MD_CTX_new());
  CHECK_EQ(EVP_DigestInit_ex2(context.get(), Digest(), nullptr), 1);
  for (const auto& parts : {first, second}) {
    for (const Bytes part : parts) CHECK_EQ(EVP_DigestUpdate(context.get(), part.data(), part.size()), 1);
  }
  CHECK_EQ(EVP_DigestFinal_ex(context.get(), out, nullptr), 1);
}

std::array<uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> Nonce(uint64_t counter) {
  std::array<uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> nonce{};
  for (int i = 0; i < 8; ++i) nonce[4 + i] = static_cast<uint8_t>(counter >> 8 * i);
  return nonce;
}

class LibsodiumRandom : public Random {
 public:
  void Fill(absl::Span<uint8_t> out) override {
    CHECK(SodiumReady());
    randombytes_buf(out.data(), out.size());
  }
};

}  // namespace

Random& SystemRandom() {
  static LibsodiumRandom* const random = new LibsodiumRandom();
  return *random;
}

absl::Status CryptoReady() {
  if (Digest() == nullptr || KeyedDigest() == nullptr) {
    return absl::FailedPreconditionError("OpenSSL here has no BLAKE2s: load its default provider (openssl.cnf)");
  }
  if (!SodiumReady()) return absl::FailedPreconditionError("libsodium found no source of randomness");
  return absl::OkStatus();
}

Hash Blake2s(std::initializer_list<Bytes> parts) {
  Hash hash;
  DigestParts(parts, {}, hash.data());
  return hash;
}

Mac Blake2sMac(Bytes key, std::initializer_list<Bytes> parts) {
  const MacContext context(EVP_MAC_CTX_new(KeyedDigest()));
  size_t size = kMacBytes;
  const OSSL_PARAM params[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
  CHECK_EQ(EVP_MAC_init(context.get(), key.data(), key.size(), params), 1);
  for (const Bytes part : parts) CHECK_EQ(EVP_MAC_update(context.get(), part.data(), part.size()), 1);
  Mac mac;
  CHECK_EQ(EVP_MAC_final(context.get(), mac.data(), &size, mac.size()), 1);
  return mac;
}

SecretBytes<kHashBytes> HmacBlake2s(Bytes key, std::initializer_list<Bytes> parts) {
  CHECK_LE(key.size(), kBlockBytes);
  SecretBytes<kBlockBytes> inner, outer;
  for (size_t i = 0; i < kBlockBytes; ++i) {
    const uint8_t byte = i < key.size() ? key[i] : 0;
    inner.data()[i] = byte ^ 0x36;
    outer.data()[i] = byte ^ 0x5c;
  }
  SecretBytes<kHashBytes> hash;
  DigestParts({Bytes(inner.data(), kBlockBytes)}, parts, hash.data());
  DigestParts({Bytes(outer.data(), kBlockBytes), Bytes(hash.data(), kHashBytes)}, {}, hash.data());
  return hash;
}

void Kdf(const SymmetricKey& key, Bytes input, std::initializer_list<SymmetricKey*> outputs) {
  const SymmetricKey secret = HmacBlake2s(Bytes(key.data(), key.size()), {input});
  SymmetricKey previous;
  uint8_t number = 0;
  for (SymmetricKey* output : outputs) {
    const Bytes before(previous.data(), number == 0 ? 0 : previous.size());
    ++number;
    previous = HmacBlake2s(Bytes(secret.data(), secret.size()), {before, Bytes(&number, 1)});
    *output = previous;
  }
}

PublicKey PublicOf(const PrivateKey& key) {
  PublicKey point;
  CHECK_EQ(crypto_scalarmult_curve25519_base(point.bytes.data(), key.data()), 0);
  return point;
}

bool SharedSecret(const PrivateKey& key, const PublicKey& point, SecretBytes<32>* out) {
  return crypto_scalarmult_curve25519(out->data(), key.data(), point.bytes.data()) == 0;
}

void SealOnce(const SymmetricKey& key, uint64_t counter, Bytes additional, Bytes plain, uint8_t* out) {
  CHECK_EQ(crypto_aead_chacha20poly1305_ietf_encrypt(out, nullptr, plain.data(), plain.size(), additional.data(),
                                                     additional.size(), nullptr, Nonce(counter).data(), key.data()),
           0);
}

bool OpenOnce(const SymmetricKey& key, uint64_t counter, Bytes additional, Bytes sealed, uint8_t* out) {
  return crypto_aead_chacha20poly1305_ietf_decrypt(out, nullptr, nullptr, sealed.data(), sealed.size(),
                                                   additional.data(), additional.size(), Nonce(counter).data(),
                                                   key.data()) == 0;
}

void XSeal(const SymmetricKey& key, const uint8_t nonce[kXNonceBytes], Bytes additional, Bytes plain, uint8_t* out) {
  CHECK_EQ(crypto_aead_xchacha20poly1305_ietf_encrypt(out, nullptr, plain.data(), plain.size(), additional.data(),
                                                      additional.size(), nullptr, nonce, key.data()),
           0);
}

bool XOpen(const SymmetricKey& key, const uint8_t nonce[kXNonceBytes], Bytes additional, Bytes sealed, uint8_t* out) {
  return crypto_aead_xchacha20poly1305_ietf_decrypt(out, nullptr, nullptr, sealed.data(), sealed.size(),
                                                    additional.data(), additional.size(), nonce, key.data()) == 0;
}

bool SameBytes(const uint8_t* a, const uint8_t* b, size_t size) {
  return sodium_memcmp(a, b, size) == 0;
}

}  // namespace lattice::wireguard
