// The construction of RFC 8439, 2.8, without additional data, around the routines of OpenSSL's
// chacha-x86_64 and poly1305-x86_64. They choose among their variants by OPENSSL_ia32cap_P, which inside of libcrypto
// its start-up code fills; here it is ours, filled with what this file knows that they ask for.
#include "userspace/wireguard/aead_assembly.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "userspace/wireguard/messages.h"

extern "C" {
void lattice_ChaCha20_ctr32(uint8_t* out, const uint8_t* in, size_t bytes, const uint32_t key[8],
                            const uint32_t counter[4]);
int lattice_poly1305_init(void* state, const uint8_t key[16], void* functions[2]);
void lattice_poly1305_blocks(void* state, const uint8_t* in, size_t bytes, uint32_t pad_bit);
void lattice_poly1305_emit(void* state, uint8_t tag[16], const uint32_t nonce[4]);

// Words: leaf 1 EDX and ECX, leaf 7 EBX and ECX of CPUID, but only bits that the operating system supports too.
extern uint32_t lattice_OPENSSL_ia32cap_P[4];
uint32_t lattice_OPENSSL_ia32cap_P[4] = {};
}

namespace lattice::wireguard::assembly {
namespace {

constexpr size_t kBlock = 64;     // of ChaCha20
constexpr size_t kMacBlock = 16;  // of Poly1305

void FindFeatures() {
  const auto bit = [](bool has, int position) { return has ? uint32_t{1} << position : 0; };
  __builtin_cpu_init();
  lattice_OPENSSL_ia32cap_P[1] =
      bit(__builtin_cpu_supports("ssse3") != 0, 9) | bit(__builtin_cpu_supports("avx") != 0, 28);
  lattice_OPENSSL_ia32cap_P[2] =
      bit(__builtin_cpu_supports("bmi") != 0, 3) | bit(__builtin_cpu_supports("avx2") != 0, 5) |
      bit(__builtin_cpu_supports("bmi2") != 0, 8) | bit(__builtin_cpu_supports("avx512f") != 0, 16) |
      bit(__builtin_cpu_supports("avx512ifma") != 0, 21) | bit(__builtin_cpu_supports("avx512bw") != 0, 30) |
      bit(__builtin_cpu_supports("avx512vl") != 0, 31);
}

// One packet's keystream, and the MAC that its first block is the key of.
class Packet {
 public:
  Packet(const SymmetricKey& key, uint64_t counter) {
    std::memcpy(key_, key.data(), sizeof key_);
    // Block number, then the nonce: four bytes of zero and the counter.
    block_[2] = static_cast<uint32_t>(counter);
    block_[3] = static_cast<uint32_t>(counter >> 32);
    uint8_t first[kBlock] = {};
    lattice_ChaCha20_ctr32(first, first, kBlock, key_, block_);
    void* functions[2] = {};
    if (lattice_poly1305_init(mac_, first, functions) != 0) {
      blocks_ = reinterpret_cast<decltype(blocks_)>(functions[0]);
      emit_ = reinterpret_cast<decltype(emit_)>(functions[1]);
    }
    std::memcpy(mac_nonce_, first + 16, sizeof mac_nonce_);
    sodium_memzero(first, sizeof first);
  }
  ~Packet() {
    sodium_memzero(key_, sizeof key_);
    sodium_memzero(mac_, sizeof mac_);
    sodium_memzero(mac_nonce_, sizeof mac_nonce_);
  }
  Packet(const Packet&) = delete;
  Packet& operator=(const Packet&) = delete;

  // From byte `offset` of the packet, a multiple of the block.
  void Crypt(const uint8_t* in, uint8_t* out, size_t bytes, size_t offset) {
    if (bytes == 0) return;
    block_[0] = static_cast<uint32_t>(1 + offset / kBlock);
    lattice_ChaCha20_ctr32(out, in, bytes, key_, block_);
  }

  void Tag(absl::Span<const uint8_t> sealed, uint8_t tag[kTagBytes]) {
    const size_t whole = sealed.size() / kMacBlock * kMacBlock, rest = sealed.size() - whole;
    if (whole != 0) blocks_(mac_, sealed.data(), whole, 1);
    // The rest, filled up, and the two lengths.
    uint8_t end[2 * kMacBlock] = {};
    if (rest != 0) std::memcpy(end, sealed.data() + whole, rest);
    reinterpret_cast<Le64*>(end + kMacBlock + 8)->set(sealed.size());
    const size_t skip = rest == 0 ? kMacBlock : 0;
    blocks_(mac_, end + skip, sizeof end - skip, 1);
    emit_(mac_, tag, mac_nonce_);
  }

 private:
  uint32_t key_[8];
  uint32_t block_[4] = {};
  uint32_t mac_nonce_[4];
  // 192 bytes in OpenSSL 3, filled by its init; room for what a later one may add.
  alignas(64) uint8_t mac_[256];
  void (*blocks_)(void*, const uint8_t*, size_t, uint32_t) = lattice_poly1305_blocks;
  void (*emit_)(void*, uint8_t*, const uint32_t*) = lattice_poly1305_emit;
};

}  // namespace

bool Built() {
  FindFeatures();
  return true;
}

void Seal(const SymmetricKey& key, uint64_t counter, absl::Span<const uint8_t> plain, size_t zeros, uint8_t* out) {
  Packet packet(key, counter);
  const size_t bytes = plain.size() + zeros;
  // Without padding in one go; the last blocks with it are put together where they go.
  const size_t straight = zeros == 0 ? bytes : plain.size() / kBlock * kBlock;
  packet.Crypt(plain.data(), out, straight, 0);
  if (straight != bytes) {
    std::copy(plain.begin() + straight, plain.end(), out + straight);
    std::fill_n(out + plain.size(), zeros, 0);
    packet.Crypt(out + straight, out + straight, bytes - straight, straight);
  }
  packet.Tag({out, bytes}, out + bytes);
}

bool Open(const SymmetricKey& key, uint64_t counter, absl::Span<uint8_t> sealed) {
  const size_t bytes = sealed.size() - kTagBytes;
  Packet packet(key, counter);
  uint8_t tag[kTagBytes];
  packet.Tag(sealed.first(bytes), tag);
  if (!SameBytes(tag, sealed.data() + bytes, kTagBytes)) return false;
  packet.Crypt(sealed.data(), sealed.data(), bytes, 0);
  return true;
}

}  // namespace lattice::wireguard::assembly
