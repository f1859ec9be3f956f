// The receiving half of a connection: reassembly, the window that is offered, SACK. One thread.
//
// Each byte is copied once, to its place; in order or not is only a matter of ranges. The right edge of the window
// never moves back (RFC 9293 3.8.6), and moves by useful steps only (3.8.6.2.2).
#ifndef USERSPACE_NETSTACK_RECEIVER_H_
#define USERSPACE_NETSTACK_RECEIVER_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "userspace/netstack/chunk_store.h"
#include "userspace/netstack/range_set.h"
#include "userspace/netstack/tcp_options.h"

namespace lattice::netstack {

class Receiver {
 public:
  struct Limits {
    size_t initial_window, max_window;
  };
  enum class Result : uint8_t { kInOrder, kOutOfOrder, kDuplicate, kNoMemory };

  // `pool` must outlive this.
  Receiver(ChunkPool& pool, Limits limits);

  // `next` is the first number expected; `offered` of window were announced with the SYN; `scale` is our shift.
  void Start(Sequence next, uint32_t offered, uint8_t scale);
  uint8_t scale() const { return scale_; }
  // The shift that the largest window needs.
  static uint8_t ScaleFor(size_t max_window);

  // Cut to the window by the caller.
  Result OnData(Sequence start, absl::Span<const uint8_t> bytes);
  // The peer's stream ends at `end`. A second FIN elsewhere is ignored.
  void OnFin(Sequence end);
  // All of the stream, with its FIN, has arrived.
  bool fin_received() const { return fin_.has_value() && next_ > *fin_; }

  Sequence next() const { return next_; }  // RCV.NXT, the FIN counted
  Sequence right_edge() const { return right_; }
  // What is still for the application.
  size_t available() const { return static_cast<size_t>(data_end() - read_); }
  size_t Data(absl::Span<iovec> out) const { return store_.Readable(read_, data_end(), out); }
  // Returns whether the peer should hear of the larger window now.
  bool Consume(size_t bytes, int64_t now, int64_t rtt_ns, uint32_t mss);
  void Clear();

  // The window field of the next segment; what it says is from then on promised.
  uint16_t Announce(uint32_t mss);
  // The newest ranges first (RFC 2018 4), led by a duplicate if there is one to report (RFC 2883).
  size_t SackBlocks(absl::Span<SackBlock> out);
  bool has_gaps() const { return !gaps_.empty() || duplicate_.has_value(); }
  size_t window_limit() const { return limit_; }

 private:
  Sequence data_end() const { return fin_received() ? next_ - 1 : next_; }
  Sequence WantedEdge(uint32_t mss) const;
  void Tune(size_t bytes, int64_t now, int64_t rtt_ns);
  void Advance(Sequence to);

  ChunkPool& pool_;
  ChunkStore store_;
  RangeSet gaps_;  // what arrived beyond next_
  Limits limits_;
  size_t limit_;  // of the window: grows by use
  Sequence read_ = 0, next_ = 0, right_ = 0;
  std::optional<Sequence> fin_;
  std::optional<Range> duplicate_;
  std::array<Sequence, 4> recent_{};  // a byte of each range that changed last
  uint8_t scale_ = 0;
  size_t tune_bytes_ = 0;
  int64_t tune_start_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_RECEIVER_H_
