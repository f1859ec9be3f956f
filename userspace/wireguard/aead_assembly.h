// ChaCha20-Poly1305 of data messages straight from OpenSSL's assembly, past EVP: a third less time per packet. The
// routines are internal to libcrypto; the build takes their two objects out of libcrypto.a and renames their symbols,
// so they live beside the shared library. Aead uses them only after it has compared them with EVP. Any thread.
#ifndef USERSPACE_WIREGUARD_AEAD_ASSEMBLY_H_
#define USERSPACE_WIREGUARD_AEAD_ASSEMBLY_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "userspace/wireguard/crypto.h"

namespace lattice::wireguard::assembly {

// False where the build has no such objects (another processor, no libcrypto.a). Then the rest must not be called.
bool Built();

// As Aead::Seal and Aead::Open.
void Seal(const SymmetricKey& key, uint64_t counter, absl::Span<const uint8_t> plain, size_t zeros, uint8_t* out);
bool Open(const SymmetricKey& key, uint64_t counter, absl::Span<uint8_t> sealed);

}  // namespace lattice::wireguard::assembly

#endif  // USERSPACE_WIREGUARD_AEAD_ASSEMBLY_H_
