#include "userspace/wireguard/aead.h"

#include <openssl/evp.h>

#include "glog/logging.h"

namespace lattice::wireguard {
namespace {

const EVP_CIPHER* Cipher() {
  static const EVP_CIPHER* const cipher = EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr);
  return cipher;
}

struct Nonce {
  explicit Nonce(uint64_t counter) {
    for (int i = 0; i < 8; ++i) bytes[4 + i] = static_cast<uint8_t>(counter >> 8 * i);
  }
  uint8_t bytes[12] = {};
};

constexpr uint8_t kZeros[16] = {};

}  // namespace

Aead::Aead(const SymmetricKey& key, Direction direction) : context_(EVP_CIPHER_CTX_new()) {
  CHECK_EQ(EVP_CipherInit_ex2(context_, Cipher(), key.data(), nullptr, direction == Direction::kSeal, nullptr), 1);
}

Aead::~Aead() {
  EVP_CIPHER_CTX_free(context_);
}

void Aead::Seal(uint64_t counter, absl::Span<const uint8_t> plain, size_t zeros, uint8_t* out) {
  int written = 0, rest = 0;
  bool ok = EVP_EncryptInit_ex2(context_, nullptr, nullptr, Nonce(counter).bytes, nullptr) == 1;
  // An update of nothing is no update to OpenSSL: it would take the null pointer of an empty span amiss.
  if (!plain.empty()) {
    ok = ok && EVP_EncryptUpdate(context_, out, &written, plain.data(), static_cast<int>(plain.size())) == 1;
  }
  if (zeros != 0) {
    ok = ok && EVP_EncryptUpdate(context_, out + plain.size(), &written, kZeros, static_cast<int>(zeros)) == 1;
  }
  uint8_t* const tag = out + plain.size() + zeros;
  ok = ok && EVP_EncryptFinal_ex(context_, tag, &rest) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
  CHECK(ok) << "ChaCha20-Poly1305";
}

bool Aead::Open(uint64_t counter, absl::Span<uint8_t> sealed) {
  DCHECK_GE(sealed.size(), kTagBytes);
  const size_t size = sealed.size() - kTagBytes;
  int written = 0, rest = 0;
  bool ok = EVP_DecryptInit_ex2(context_, nullptr, nullptr, Nonce(counter).bytes, nullptr) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(context_, EVP_CTRL_AEAD_SET_TAG, kTagBytes, sealed.data() + size) == 1;
  if (size != 0) {
    ok = ok && EVP_DecryptUpdate(context_, sealed.data(), &written, sealed.data(), static_cast<int>(size)) == 1;
  }
  // Here the tag is compared.
  return ok && EVP_DecryptFinal_ex(context_, sealed.data() + size, &rest) == 1;
}

}  // namespace lattice::wireguard
