// The sending half of a connection: the send ring, what may leave now, and recovery of what was lost. One thread.
//
// It decides and keeps account; TcpConnection writes the packets. The ring holds each byte until it is acknowledged.
#ifndef USERSPACE_NETSTACK_SENDER_H_
#define USERSPACE_NETSTACK_SENDER_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "absl/types/span.h"
#include "userspace/netstack/chunk_store.h"
#include "userspace/netstack/congestion.h"
#include "userspace/netstack/rtt.h"
#include "userspace/netstack/scoreboard.h"
#include "userspace/netstack/types.h"

namespace lattice::netstack {

// Segments that one burst has at most: what fits into one UDP GSO buffer.
constexpr size_t kMaxBurst = 44;
constexpr size_t kMaxBurstBytes = 65000;

class Sender {
 public:
  // All must outlive this.
  Sender(ChunkPool& pool, Counters& counters, const Options& options)
      : counters_(counters), options_(options), store_(pool), rtt_(options.min_rto_ns) {}

  // `iss` is the number of the SYN.
  void Start(Sequence iss, uint32_t mss, bool sack, uint32_t seed);
  void SetSack(bool sack) { sack_ok_ = sack; }
  bool sack() const { return sack_ok_; }
  void SetMss(uint32_t mss);
  uint32_t mss() const { return mss_; }  // payload of a full segment
  void set_nagle(bool nagle) { nagle_ = nagle; }

  // The application's side of the ring.
  size_t Space() const;
  size_t Writable(absl::Span<iovec> out) { return store_.Writable(end_, end_ + Space(), out); }
  void Commit(size_t bytes);
  void Finish() { finish_ = true; }  // FIN after what is written
  bool finishing() const { return finish_; }
  size_t unacked() const { return static_cast<size_t>(end_ - std::min(una_, end_)); }
  void Clear();

  // What may leave now.
  struct Piece {
    Range range{};  // of data; empty for a bare FIN
    bool again = false;
    bool fin = false;
    bool push = false;
    bool empty() const { return range.start == range.end && !fin; }
  };
  // In at most `room` segments, at least one.
  Piece Next(int64_t now, size_t room);
  void OnSent(const Piece& piece, int64_t now);
  size_t Payload(Range range, absl::Span<iovec> out) const { return store_.Readable(range.start, range.end, out); }

  struct Ack {
    Sequence ack;
    absl::Span<const Range> sacks;    // without the duplicate report
    bool duplicate_report = false;    // RFC 2883
    bool bare = false;                // no data, no FIN: may count as a duplicate ACK
    int64_t echo_before_ns = kNever;  // the segment whose timestamp it echoes was sent before
  };
  // Returns whether anything new was acknowledged.
  bool OnAck(const Ack& ack, int64_t now);
  // The window of an acceptable segment, already scaled.
  void OnWindow(Sequence ack, uint64_t window, int64_t now);
  // A packet that carried `lost` was too big; SetMss was called. No sign of congestion.
  void OnTooBig(Range lost) { scoreboard_.MarkLost(lost); }

  enum class Alarm : uint8_t { kNone, kTimeout, kDead };
  // kTimeout: the retransmission timer ran out (the connection looks for a black hole). kDead: give up.
  Alarm OnTimer(int64_t now);
  int64_t Deadline(int64_t now) const;
  // A zero window is to be probed; the call takes it.
  bool probing() const { return probe_window_; }
  bool TakeProbe() { return std::exchange(probe_window_, false); }

  bool fin_sent() const { return finish_ && nxt_ > end_; }
  bool fin_acked() const { return finish_ && una_ > end_; }
  Sequence una() const { return una_; }
  Sequence nxt() const { return nxt_; }
  Sequence edge() const { return edge_; }  // right edge of the peer's window
  uint64_t largest_window() const { return largest_window_; }
  bool starved() const { return starved_; }
  void set_starved(bool starved) { starved_ = starved; }
  RttEstimator& rtt() { return rtt_; }
  const RttEstimator& rtt() const { return rtt_; }
  const CongestionControl& congestion() const { return *congestion_; }
  int consecutive_timeouts() const { return consecutive_timeouts_; }

 private:
  enum class State : uint8_t { kOpen, kRecovery, kLoss };

  // sender.cc
  Piece NextLost(uint64_t budget);
  Piece NextNew(uint64_t budget);
  Piece NextTailProbe();
  Sequence sent_data_end() const { return std::min(nxt_, end_); }
  uint64_t Pipe() const;
  uint64_t Burst() const;
  bool HoldsTail(uint64_t bytes, uint64_t tail) const;

  // recovery.cc
  void OnDuplicateAck(const Ack& ack);
  void CheckTailProbe(const Ack& ack, int64_t now);
  void CheckSpurious(const Ack& ack);
  uint64_t DetectLoss(int64_t now);
  void UpdateState(uint64_t lost, int64_t now);
  int64_t ReorderWindow() const;
  void ArmTimers(int64_t now);
  Alarm OnTimeout(int64_t now);

  Counters& counters_;
  const Options& options_;
  ChunkStore store_;
  Scoreboard scoreboard_;
  RttEstimator rtt_;
  std::unique_ptr<CongestionControl> congestion_;

  // una <= nxt <= end (+1 with FIN); the ring holds [una, end).
  Sequence una_ = 0, nxt_ = 0, end_ = 0;
  Sequence edge_ = 0;  // right edge of the peer's window
  uint64_t largest_window_ = 0;
  uint32_t mss_ = 536, seed_ = 0;
  bool sack_ok_ = false, nagle_ = false, finish_ = false;
  bool starved_ = false;  // the application found no space and waits
  bool blocked_ = false;  // the congestion window held us back

  State state_ = State::kOpen;
  Sequence recovery_point_ = 0;
  int duplicate_acks_ = 0, consecutive_timeouts_ = 0;
  bool reordering_seen_ = false;
  int reorder_steps_ = 1, reorder_recoveries_ = 0;

  // A tail loss probe is out; it was a copy; it covers up to here.
  bool probe_tail_ = false, tail_out_ = false, tail_copy_ = false;
  Sequence tail_end_ = 0;
  bool probe_window_ = false;
  int window_probes_ = 0;

  bool undo_ = false;         // a timeout that may turn out to be spurious
  int64_t undo_sent_ns_ = 0;  // when the first copy left; 0: not yet

  int64_t rto_at_ = kNever, tail_at_ = kNever, rack_at_ = kNever, window_at_ = kNever;
  int64_t pace_at_ = 0;
  int64_t stalled_since_ = 0;  // 0: not waiting for anything
  int64_t last_send_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_SENDER_H_
