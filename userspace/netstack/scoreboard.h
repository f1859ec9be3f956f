// What is sent and not yet acknowledged: which of it was selectively acknowledged, which is lost (RACK, RFC 8985),
// when it was sent, and at what rate it comes through. One thread.
//
// One entry stands for all neighbouring bytes of one fate: a burst is one entry however many segments it has, and
// what is selectively acknowledged melts together. It holds no data and allocates nothing while nothing is in flight.
#ifndef USERSPACE_NETSTACK_SCOREBOARD_H_
#define USERSPACE_NETSTACK_SCOREBOARD_H_

#include <cstdint>
#include <optional>

#include "absl/container/btree_map.h"
#include "absl/types/span.h"
#include "userspace/netstack/range_set.h"
#include "userspace/netstack/sequence.h"
#include "userspace/netstack/timer_heap.h"

namespace lattice::netstack {

class Scoreboard {
 public:
  // What one ACK brought.
  struct AckResult {
    uint64_t acked = 0;      // bytes that had not been known to have arrived
    int64_t rtt_ns = -1;     // of the newest of them that was sent once; -1: none
    bool reordered = false;  // something arrived that was sent before what had arrived already
    // See AckSample.
    int64_t rate_ns = 0;
    uint64_t rate_bytes = 0, prior_delivered = 0;
    bool app_limited = false;
  };
  struct LossResult {
    uint64_t lost = 0;
    int64_t deadline = kNever;  // when to look again
  };

  void OnSend(Sequence start, Sequence end, int64_t now, bool app_limited);
  void OnRetransmit(Sequence start, Sequence end, int64_t now, bool app_limited);
  // `una` acknowledges all below it; `sacks` are sorted or not, and were checked to be within what was sent.
  // By its echo of a timestamp the ACK answers nothing that was sent at `echo_before_ns` or later (kNever: no echo).
  AckResult OnAck(Sequence una, absl::Span<const Range> sacks, int64_t now, int64_t min_rtt_ns,
                  int64_t echo_before_ns = kNever);
  // RFC 8985 6.2 steps 4 and 5. `window_ns` is how far reordering is borne with.
  LossResult DetectLoss(int64_t now, int64_t window_ns);
  // All that is not acknowledged is lost: a timeout. If the peer took back its SACKs (its first byte was one of
  // them, and yet the timer ran out) they count no more.
  void MarkAllLost();
  // Of one range, by other evidence: a third duplicate ACK without SACK, or ICMP. Returns the bytes newly lost.
  uint64_t MarkLost(Range range);
  // The timeout was for nothing.
  void MarkNoneLost();

  // The lowest range to send again.
  std::optional<Range> FirstLost();
  uint64_t in_flight() const { return in_flight_; }
  uint64_t lost() const { return lost_; }
  uint64_t sacked() const { return sacked_; }
  uint64_t delivered() const { return delivered_; }
  Sequence highest_sacked() const { return highest_sacked_; }
  bool empty() const { return entries_.empty(); }
  int64_t rack_rtt_ns() const { return rack_rtt_ns_; }
  // When the last of what is in flight left.
  int64_t last_sent_ns() const { return last_sent_ns_; }
  // The sender ran out of data (or window) with this much in flight: until it is delivered, rates say nothing.
  void MarkAppLimited() { app_limited_until_ = delivered_ + in_flight_ + 1; }
  bool app_limited() const { return app_limited_until_ != 0; }

 private:
  enum class Fate : uint8_t { kInFlight, kLost, kSacked };
  struct Entry {
    Sequence end = 0;
    int64_t sent_ns = 0;
    uint64_t delivered = 0;     // of the connection, when it was sent
    int64_t delivered_ns = 0;   // and when that had been
    int64_t first_sent_ns = 0;  // start of the sending interval that ends with it
    Fate fate = Fate::kInFlight;
    bool resent = false;
    bool app_limited = false;
  };
  using Map = absl::btree_map<Sequence, Entry>;
  using Iterator = Map::iterator;

  Entry NewEntry(Sequence end, int64_t now, bool app_limited);
  Iterator SplitAt(Sequence sequence);  // the first entry that starts at or after it; none crosses it
  void SetFate(Sequence start, Entry& entry, Fate fate);
  void Delivered(Sequence start, const Entry& entry, int64_t now, int64_t min_rtt_ns, int64_t echo_before_ns,
                 AckResult* result);
  void MarkSacked(Range range, int64_t now, int64_t min_rtt_ns, AckResult* result);
  void FinishRate(int64_t now, AckResult* result);

  Map entries_;
  uint64_t in_flight_ = 0, lost_ = 0, sacked_ = 0;
  Sequence lost_hint_ = 0;                            // nothing below is lost
  Sequence highest_sacked_ = 0, highest_before_ = 0;  // the latter before the ACK that is looked at
  int64_t last_sent_ns_ = 0;

  // RACK: the newest thing that was delivered.
  int64_t rack_sent_ns_ = 0, rack_rtt_ns_ = 0;
  Sequence rack_end_ = 0;

  // Delivery rate.
  uint64_t delivered_ = 0, app_limited_until_ = 0;
  int64_t delivered_ns_ = 0, first_sent_ns_ = 0;
  struct {
    bool valid = false, app_limited = false;
    uint64_t prior_delivered = 0;
    int64_t prior_ns = 0, send_ns = 0, sent_ns = 0;
    Sequence end = 0;
  } newest_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_SCOREBOARD_H_
