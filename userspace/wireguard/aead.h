// ChaCha20-Poly1305 of data messages: one key, one direction, a context made once and given only a nonce
// per packet. Sealing reads the packet from where it lies and writes the ciphertext where it is sent from:
// the encryption is the copy. One thread per object.
//
// By EVP, which is always there, or past it by OpenSSL's assembly (aead_assembly.h) where that is built in and has
// sealed and opened as EVP does when the process first asked.
#ifndef USERSPACE_WIREGUARD_AEAD_H_
#define USERSPACE_WIREGUARD_AEAD_H_

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "userspace/wireguard/crypto.h"

namespace lattice::wireguard {

class Aead {
 public:
  enum class Direction : uint8_t { kSeal, kOpen };
  enum class Cipher : uint8_t { kEvp, kAssembly };

  // FailedPrecondition when OpenSSL here lacks the cipher.
  static absl::Status Ready();
  // What is used in this process, for a metric; Name() of it: "evp" or "assembly".
  static Cipher Best();
  static const char* Name(Cipher cipher);

  // kAssembly only where Best() says so.
  Aead(const SymmetricKey& key, Direction direction, Cipher cipher = Best());
  ~Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;

  // `out` gets plain.size() + zeros + 16 bytes: `plain`, then `zeros` (at most 15) bytes of padding, then the
  // tag. `out` is plain.data() or does not overlap it.
  void Seal(uint64_t counter, absl::Span<const uint8_t> plain, size_t zeros, uint8_t* out);
  // Opens in place: the plaintext is the first sealed.size() - 16 bytes. False, and the bytes of no use, for what
  // was not sealed with this key and counter. `sealed` has at least 16 bytes.
  bool Open(uint64_t counter, absl::Span<uint8_t> sealed);

 private:
  EVP_CIPHER_CTX* context_ = nullptr;  // null: the assembly with key_
  SymmetricKey key_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_AEAD_H_
