// Theory of operation. The sum of RFC 1071 does not depend on byte order: words are added as the machine loads them
// and the folded result is swapped once. Sixty-four bytes a turn go into 64-bit lanes, two of 32 bits each, which
// cannot overflow below 2^32 turns; the vectors are of the compiler's, so this is one code for every machine.
#include "userspace/base/checksum.h"

#include <bit>
#include <cstring>

namespace lattice {
namespace {

typedef uint64_t Lanes __attribute__((vector_size(16)));

Lanes Load(const uint8_t* bytes) {
  Lanes lanes;
  std::memcpy(&lanes, bytes, sizeof(lanes));
  return lanes;
}

uint16_t Fold(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint16_t FromNative(uint16_t sum) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(sum) : sum;
}

}  // namespace

uint16_t OnesSum(absl::Span<const uint8_t> bytes) {
  const uint8_t* data = bytes.data();
  size_t left = bytes.size();
  const Lanes low = {0xffffffff, 0xffffffff};
  Lanes a = {}, b = {}, c = {}, d = {};
  for (; left >= 64; left -= 64, data += 64) {
    const Lanes v0 = Load(data), v1 = Load(data + 16), v2 = Load(data + 32), v3 = Load(data + 48);
    a += (v0 & low) + (v1 & low);
    b += (v0 >> 32) + (v1 >> 32);
    c += (v2 & low) + (v3 & low);
    d += (v2 >> 32) + (v3 >> 32);
  }
  a += b + c + d;
  uint64_t sum = a[0] + a[1];
  for (; left >= 4; left -= 4, data += 4) {
    uint32_t word;
    std::memcpy(&word, data, 4);
    sum += word;
  }
  if (left > 0) {
    uint8_t last[4] = {};
    std::memcpy(last, data, left);
    uint32_t word;
    std::memcpy(&word, last, 4);
    sum += word;
  }
  return FromNative(Fold(sum));
}

void Checksum::Add(absl::Span<const uint8_t> bytes) {
  const uint16_t sum = OnesSum(bytes);
  sum_ += odd_ ? __builtin_bswap16(sum) : sum;
  odd_ ^= bytes.size() % 2 != 0;
}

void Checksum::AddPseudoHeader(const IpAddress& source, const IpAddress& destination, uint8_t protocol, size_t length) {
  sum_ += OnesSum(source.bytes());
  AddPseudoHeader(destination.bytes(), protocol, length);
}

void Checksum::AddPseudoHeader(absl::Span<const uint8_t> addresses, uint8_t protocol, size_t length) {
  sum_ += OnesSum(addresses);
  sum_ += protocol + (length & 0xffff) + (length >> 16);
}

uint16_t Checksum::Folded() const {
  return Fold(sum_);
}

}  // namespace lattice
