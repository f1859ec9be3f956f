// TAI64N, the time stamp in an initiation: a label of 12 bytes whose order as bytes is the order in time.
#ifndef USERSPACE_WIREGUARD_TAI64N_H_
#define USERSPACE_WIREGUARD_TAI64N_H_

#include <array>
#include <compare>
#include <cstdint>

#include "absl/time/time.h"

namespace lattice::wireguard {

struct Tai64n {
  std::array<uint8_t, 12> bytes{};  // zero is before any real time

  // Rounded down to 2^24 ns (17 ms): a peer need not know our clock better than that.
  static Tai64n From(absl::Time time);
  // The next label that From() can give.
  Tai64n Next() const;

  auto operator<=>(const Tai64n&) const = default;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_TAI64N_H_
