#include "userspace/wireguard/aead.h"

#include <openssl/evp.h>

#include <algorithm>
#include <vector>

#include "glog/logging.h"
#include "userspace/wireguard/aead_assembly.h"

namespace lattice::wireguard {
namespace {

const EVP_CIPHER* EvpCipher() {
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

// Around the ends of the blocks that the variants of the assembly work in, up to eight and sixteen at a time.
constexpr size_t kProbedBytes[] = {0,   1,   15,  16,  17,  63,  64,  65,   127,  128,  129,  191,  192,
                                   255, 256, 257, 320, 511, 512, 513, 1023, 1024, 1025, 1420, 1421, 4096};

// Whether the assembly seals as EVP does, with padding and without, from elsewhere and in place, opens that, and
// refuses a changed tag.
bool AssemblyAgrees() {
  if (!assembly::Built()) return false;
  SymmetricKey key;
  for (size_t i = 0; i < key.size(); ++i) key.data()[i] = static_cast<uint8_t>(37 * i + 11);
  Aead evp(key, Aead::Direction::kSeal, Aead::Cipher::kEvp);
  uint64_t counter = 0xfffffffffffffff0 / 7;
  for (const size_t bytes : kProbedBytes) {
    for (const size_t zeros : {size_t{0}, (16 - bytes % 16) % 16}) {
      std::vector<uint8_t> plain(bytes), want(bytes + zeros + kTagBytes), got(want.size()), in_place(want.size());
      for (size_t i = 0; i < bytes; ++i) plain[i] = static_cast<uint8_t>(i * i + bytes);
      std::copy(plain.begin(), plain.end(), in_place.begin());
      ++counter;
      evp.Seal(counter, plain, zeros, want.data());
      assembly::Seal(key, counter, plain, zeros, got.data());
      assembly::Seal(key, counter, {in_place.data(), bytes}, zeros, in_place.data());
      if (got != want || in_place != want) return false;
      got.back() ^= 1;
      if (assembly::Open(key, counter, absl::MakeSpan(got)) ||
          !assembly::Open(key, counter, absl::MakeSpan(in_place)) ||
          !std::equal(plain.begin(), plain.end(), in_place.begin())) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

absl::Status Aead::Ready() {
  if (EvpCipher() != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      "OpenSSL here has no ChaCha20-Poly1305: load its default provider (openssl.cnf)");
}

Aead::Cipher Aead::Best() {
  static const Cipher best = [] {
    const Cipher chosen = AssemblyAgrees() ? Cipher::kAssembly : Cipher::kEvp;
    VLOG(1) << "ChaCha20-Poly1305 by " << Name(chosen);
    return chosen;
  }();
  return best;
}

const char* Aead::Name(Cipher cipher) {
  return cipher == Cipher::kAssembly ? "assembly" : "evp";
}

Aead::Aead(const SymmetricKey& key, Direction direction, Cipher cipher) {
  if (cipher == Cipher::kAssembly) {
    key_ = key;
    return;
  }
  context_ = EVP_CIPHER_CTX_new();
  CHECK_EQ(EVP_CipherInit_ex2(context_, EvpCipher(), key.data(), nullptr, direction == Direction::kSeal, nullptr), 1);
}

Aead::~Aead() {
  EVP_CIPHER_CTX_free(context_);
}

void Aead::Seal(uint64_t counter, absl::Span<const uint8_t> plain, size_t zeros, uint8_t* out) {
  if (context_ == nullptr) return assembly::Seal(key_, counter, plain, zeros, out);
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
  if (context_ == nullptr) return assembly::Open(key_, counter, sealed);
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
