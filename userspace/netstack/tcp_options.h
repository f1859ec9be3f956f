// TCP options: MSS, window scale and timestamps (RFC 7323), SACK (RFC 2018). No state, any thread.
#ifndef USERSPACE_NETSTACK_TCP_OPTIONS_H_
#define USERSPACE_NETSTACK_TCP_OPTIONS_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"

namespace lattice::netstack {

struct SackBlock {
  uint32_t start, end;
};

struct TcpOptions {
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;
  bool sack_permitted = false;
  bool has_timestamps = false;
  uint32_t timestamp = 0, echo = 0;
  uint8_t sack_count = 0;
  std::array<SackBlock, 4> sack;
};

// Unknown options are skipped; from a malformed one on, the rest is not read (RFC 9293 3.1 leaves it open).
TcpOptions ParseTcpOptions(absl::Span<const uint8_t> bytes);

constexpr size_t kTimestampBytes = 12;  // with padding
constexpr size_t kMaxTcpOptions = 40;

// Writes them padded to a multiple of four; returns the length. SACK blocks that do not fit are left out.
size_t WriteTcpOptions(uint8_t* out, const TcpOptions& options);

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_TCP_OPTIONS_H_
