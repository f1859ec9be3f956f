#include "userspace/netstack/tcp_options.h"

#include <algorithm>

#include "userspace/netstack/headers.h"

namespace lattice::netstack {
namespace {

enum Kind : uint8_t { kEnd = 0, kNop = 1, kMss = 2, kScale = 3, kSackPermitted = 4, kSack = 5, kTimestamps = 8 };
// RFC 7323 2.3: a larger shift is used as this one.
constexpr uint8_t kMaxScale = 14;

void ParseSack(const uint8_t* option, size_t length, TcpOptions* out) {
  if ((length - 2) % 8 != 0) return;
  out->sack_count = static_cast<uint8_t>(std::min<size_t>((length - 2) / 8, out->sack.size()));
  for (size_t i = 0; i < out->sack_count; ++i) {
    out->sack[i] = {Load32(option + 2 + 8 * i), Load32(option + 6 + 8 * i)};
  }
}

}  // namespace

TcpOptions ParseTcpOptions(absl::Span<const uint8_t> bytes) {
  TcpOptions out;
  size_t at = 0;
  while (at < bytes.size() && bytes[at] != kEnd) {
    if (bytes[at] == kNop) {
      ++at;
      continue;
    }
    if (at + 1 >= bytes.size()) break;
    const size_t length = bytes[at + 1];
    if (length < 2 || at + length > bytes.size()) break;
    const uint8_t* option = &bytes[at];
    if (option[0] == kMss && length == 4) out.mss = Load16(option + 2);
    if (option[0] == kScale && length == 3) out.window_scale = std::min(option[2], kMaxScale);
    if (option[0] == kSackPermitted && length == 2) out.sack_permitted = true;
    if (option[0] == kSack && length >= 10) ParseSack(option, length, &out);
    if (option[0] == kTimestamps && length == 10) {
      out.has_timestamps = true;
      out.timestamp = Load32(option + 2);
      out.echo = Load32(option + 6);
    }
    at += length;
  }
  return out;
}

size_t WriteTcpOptions(uint8_t* out, const TcpOptions& options) {
  uint8_t* at = out;
  if (options.mss.has_value()) {
    *at++ = kMss;
    *at++ = 4;
    Store16(at, *options.mss);
    at += 2;
  }
  if (options.sack_permitted) {
    *at++ = kNop;
    *at++ = kNop;
    *at++ = kSackPermitted;
    *at++ = 2;
  }
  if (options.has_timestamps) {
    *at++ = kNop;
    *at++ = kNop;
    *at++ = kTimestamps;
    *at++ = 10;
    Store32(at, options.timestamp);
    Store32(at + 4, options.echo);
    at += 8;
  }
  if (options.window_scale.has_value()) {
    *at++ = kNop;
    *at++ = kScale;
    *at++ = 3;
    *at++ = *options.window_scale;
  }
  const size_t room =
      (kMaxTcpOptions - static_cast<size_t>(at - out)) / 8;  // 4 bytes of the kind are less than a block
  size_t blocks = std::min<size_t>(options.sack_count, room);
  if (blocks > 0 && static_cast<size_t>(at - out) + 4 + 8 * blocks > kMaxTcpOptions) --blocks;
  if (blocks > 0) {
    *at++ = kNop;
    *at++ = kNop;
    *at++ = kSack;
    *at++ = static_cast<uint8_t>(2 + 8 * blocks);
    for (size_t i = 0; i < blocks; ++i, at += 8) {
      Store32(at, options.sack[i].start);
      Store32(at + 4, options.sack[i].end);
    }
  }
  return static_cast<size_t>(at - out);
}

}  // namespace lattice::netstack
