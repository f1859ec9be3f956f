// Segments that belong together, made one packet again: what a TUN device with vnet headers takes in one write, and the
// kernel in one walk through its stack (GRO). Sans-I/O. One thread.
//
// Packets of one flow leave in the order they came. Nothing is held longer than until Flush().
#ifndef USERSPACE_TUNNEL_COALESCING_H_
#define USERSPACE_TUNNEL_COALESCING_H_

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/types/span.h"
#include "userspace/tunnel/vnet_header.h"

namespace lattice::tunnel {

class Coalescer {
 public:
  static constexpr size_t kMaxPieces = 64;
  // One packet: its vnet header (host order) and its pieces.
  using Write = absl::FunctionRef<void(const VnetHeader&, absl::Span<const iovec>)>;

  // Takes `packet`, an IP packet of either version, or anything else, which is written at once. Its bytes must stay
  // until it is written; those of headers are changed.
  void Add(absl::Span<uint8_t> packet, Write write);
  // Writes what is held.
  void Flush(Write write);

 private:
  // As many as flows that may come mixed in one burst; one more writes the oldest.
  static constexpr size_t kRuns = 8;
  struct Segment;
  struct Run {
    size_t pieces = 0;  // 0: free
    std::array<iovec, kMaxPieces> iov{};
    bool v4 = false;
    size_t header_bytes = 0;
    size_t segment_bytes = 0;  // payload of each but the last
    size_t total_bytes = 0;
    uint32_t next_seq = 0;
    bool ended = false;  // by a short segment, or by PSH
  };
  static bool Parse(absl::Span<uint8_t> packet, Segment* segment);
  static bool SameFlow(const Run& run, const Segment& segment);
  static bool Fits(const Run& run, const Segment& segment);
  Run& Start(const Segment& segment, Write write);
  static void Append(const Segment& segment, Run* run);
  static void WriteRun(Run* run, Write write);

  std::array<Run, kRuns> runs_;
  size_t next_ = 0;  // the run that is taken next, when all are in use: the oldest
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_COALESCING_H_
