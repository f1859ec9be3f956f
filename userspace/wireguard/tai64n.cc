#include "userspace/wireguard/tai64n.h"

namespace lattice::wireguard {
namespace {

constexpr uint32_t kGrainNs = 1u << 24;
// 2^62 is the epoch's label; TAI was 10 s ahead of UTC then. Leap seconds since do not matter: only order does.
constexpr uint64_t kEpoch = (uint64_t{1} << 62) + 10;

Tai64n FromParts(uint64_t seconds, uint32_t ns) {
  Tai64n label;
  for (int i = 0; i < 8; ++i) label.bytes[i] = static_cast<uint8_t>(seconds >> (56 - 8 * i));
  for (int i = 0; i < 4; ++i) label.bytes[8 + i] = static_cast<uint8_t>(ns >> (24 - 8 * i));
  return label;
}

}  // namespace

Tai64n Tai64n::From(absl::Time time) {
  const int64_t seconds = absl::ToUnixSeconds(time);
  const int64_t ns = absl::ToInt64Nanoseconds(time - absl::FromUnixSeconds(seconds));
  return FromParts(kEpoch + static_cast<uint64_t>(seconds), static_cast<uint32_t>(ns) & ~(kGrainNs - 1));
}

Tai64n Tai64n::Next() const {
  uint64_t seconds = 0;
  uint32_t ns = 0;
  for (int i = 0; i < 8; ++i) seconds = seconds << 8 | bytes[i];
  for (int i = 8; i < 12; ++i) ns = ns << 8 | bytes[i];
  ns += kGrainNs;
  return ns < 1'000'000'000 ? FromParts(seconds, ns) : FromParts(seconds + 1, 0);
}

}  // namespace lattice::wireguard
