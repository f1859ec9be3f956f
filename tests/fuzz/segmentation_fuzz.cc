// A vnet header and a packet as a TUN device would hand them out; what comes of them goes back as one burst.
#include <cstdlib>
#include <cstring>
#include <vector>

#include "userspace/tunnel/coalescing.h"
#include "userspace/tunnel/segmentation.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using lattice::tunnel::VnetHeader;
  VnetHeader header;
  if (size < sizeof(header)) return 0;
  memcpy(&header, data, sizeof(header));
  std::vector<uint8_t> packet(data + sizeof(header), data + size);
  std::vector<std::vector<uint8_t>> segments;
  const bool good = lattice::tunnel::ForEachSegment(header, absl::MakeSpan(packet), [&](absl::Span<uint8_t> segment) {
    segments.emplace_back(segment.begin(), segment.end());
  });
  if (good == segments.empty()) abort();  // refused whole, or at least one

  size_t before = 0;
  for (const auto& segment : segments) before += segment.size();
  size_t pieces = 0;
  size_t after = 0;
  const auto write = [&](const VnetHeader&, absl::Span<const iovec> written) {
    pieces += written.size();
    for (const iovec& piece : written) after += piece.iov_len;
  };
  lattice::tunnel::Coalescer coalescer;
  for (auto& segment : segments) coalescer.Add(absl::MakeSpan(segment), write);
  coalescer.Flush(write);
  if (pieces != segments.size() || after > before) abort();
  return 0;
}
