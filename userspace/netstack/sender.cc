#include "userspace/netstack/sender.h"

#include <algorithm>

namespace lattice::netstack {
namespace {
// What a late wake-up may make up for. More would be the burst that pacing is to prevent.
constexpr int64_t kPaceCredit = 2 * kMillisecond;
}  // namespace

void Sender::Start(Sequence iss, uint32_t mss, bool sack, uint32_t seed) {
  una_ = nxt_ = end_ = edge_ = iss + 1;
  mss_ = mss;
  sack_ok_ = sack;
  seed_ = seed;
  congestion_ = NewCongestionControl(options_.congestion, mss, seed);
}

void Sender::SetMss(uint32_t mss) {
  mss_ = mss;
  if (last_send_ == 0) {  // the initial window is in segments of this size
    congestion_ = NewCongestionControl(options_.congestion, mss, seed_);
  } else {
    congestion_->SetMss(mss);
  }
}

// Twice the window: what is in flight, and as much waiting behind it.
size_t Sender::Space() const {
  const size_t limit =
      std::clamp<size_t>(2 * congestion_->window(), options_.initial_send_buffer, options_.max_send_buffer);
  const auto used = static_cast<size_t>(end_ - una_ + (una_ > end_ ? 1 : 0));
  return finish_ || used >= limit ? 0 : limit - used;
}

void Sender::Commit(size_t bytes) {
  end_ += bytes;
  store_.ReleaseFrom(end_);
  if (una_ >= end_) store_.Clear();
}

void Sender::Clear() {
  store_.Clear();
  rto_at_ = tail_at_ = rack_at_ = window_at_ = kNever;
}

// A peer without SACK says of each segment that arrived out of order only that one did.
uint64_t Sender::Pipe() const {
  const uint64_t arrived = sack_ok_ ? 0 : static_cast<uint64_t>(duplicate_acks_) * mss_;
  return scoreboard_.in_flight() - std::min(scoreboard_.in_flight(), arrived);
}

uint64_t Sender::Burst() const {
  const uint64_t rate = congestion_->pacing_rate();
  const uint64_t most = std::clamp<uint64_t>(kMaxBurstBytes / mss_, 1, kMaxBurst) * mss_;
  return rate == 0 ? most : std::clamp<uint64_t>(rate / 1000 / mss_ * mss_, std::min<uint64_t>(2 * mss_, most), most);
}

Sender::Piece Sender::NextTailProbe() {
  const uint64_t fresh = std::min(end_, edge_) - std::min(nxt_, std::min(end_, edge_));
  if (fresh > 0 && nxt_ <= end_) {
    const Sequence to = nxt_ + std::min<uint64_t>(fresh, mss_);
    return {.range = {nxt_, to}, .fin = finish_ && to == end_, .push = true};
  }
  const Sequence to = sent_data_end();
  const Sequence from = std::max(una_, to - std::min<uint64_t>(mss_, to - std::min(to, una_)));
  return {.range = {std::min(from, to), to}, .again = true, .fin = fin_sent(), .push = true};
}

Sender::Piece Sender::NextLost(uint64_t budget) {
  const std::optional<Range> lost = scoreboard_.FirstLost();
  if (!lost.has_value()) return {};
  const bool fin = lost->end > end_;
  Range range{lost->start, std::min(lost->end, end_)};
  const uint64_t most = std::max<uint64_t>(std::min(budget, Burst()) / mss_ * mss_, mss_);
  if (range.end - range.start > most) return {.range = {range.start, range.start + most}, .again = true};
  return {.range = range, .again = true, .fin = fin, .push = true};
}

// Whether the last `tail` bytes of `bytes`, less than a segment, wait for more (RFC 9293 3.7.4 and 3.8.6.2.1).
bool Sender::HoldsTail(uint64_t bytes, uint64_t tail) const {
  const bool idle = una_ == nxt_;
  if (nxt_ + bytes == end_) return nagle_ && !finish_ && !idle;
  // The peer's window ends here: less than a segment only if there is no better to come.
  return bytes != tail || (!idle && tail < largest_window_ / 2);
}

Sender::Piece Sender::NextNew(uint64_t budget) {
  if (fin_sent()) return {};
  const uint64_t open = std::max(std::min(end_, edge_), nxt_) - nxt_;
  uint64_t bytes = std::min({open, std::max<uint64_t>(budget, mss_), Burst()});
  const uint64_t tail = bytes % mss_;
  if (tail != 0 && (bytes < open || HoldsTail(bytes, tail))) bytes -= tail;
  const bool last = nxt_ + bytes == end_;
  return {.range = {nxt_, nxt_ + bytes}, .fin = finish_ && last, .push = last && bytes > 0};
}

Sender::Piece Sender::Next(int64_t now, size_t room) {
  probe_tail_ &= !scoreboard_.empty();
  if (probe_tail_) return NextTailProbe();
  blocked_ = false;
  if (now < pace_at_) return {};
  const uint64_t window = congestion_->window(), pipe = Pipe();
  if (pipe != 0 && pipe + mss_ > window) {
    blocked_ = true;
    return {};
  }
  const uint64_t budget = std::min<uint64_t>(window - std::min(window, pipe), room * mss_);
  if (Piece piece = NextLost(budget); !piece.empty()) return piece;
  Piece piece = NextNew(budget);
  if (piece.empty()) {
    if (scoreboard_.lost() == 0) scoreboard_.MarkAppLimited();
    ArmTimers(now);  // a shut window has to be probed
  }
  return piece;
}

void Sender::OnSent(const Piece& piece, int64_t now) {
  const Sequence to = piece.range.end + (piece.fin ? 1 : 0);
  if (scoreboard_.in_flight() == 0 && last_send_ != 0 && now - last_send_ > rtt_.rto_ns() && state_ == State::kOpen) {
    congestion_->OnIdleRestart(now);
  }
  if (piece.again) {
    counters_.segments_retransmitted += std::max<uint64_t>(1, (piece.range.end - piece.range.start + mss_ - 1) / mss_);
    scoreboard_.OnRetransmit(piece.range.start, to, now, false);
    if (undo_ && undo_sent_ns_ == 0) undo_sent_ns_ = now;
  } else {
    scoreboard_.OnSend(nxt_, to, now, scoreboard_.app_limited());
    nxt_ = to;
  }
  if (probe_tail_) {
    probe_tail_ = false;
    tail_out_ = true;
    tail_copy_ = piece.again;
    tail_end_ = nxt_;
    rto_at_ = now + rtt_.rto_ns();
    ++counters_.tail_probes;
  }
  last_send_ = now;
  if (stalled_since_ == 0) stalled_since_ = now;
  if (const uint64_t rate = congestion_->pacing_rate(); rate != 0) {
    const uint64_t bytes = to - piece.range.start;
    pace_at_ = std::max(pace_at_, now - kPaceCredit) +
               static_cast<int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate));
  }
  if (rto_at_ == kNever) rto_at_ = now + rtt_.rto_ns();
  window_at_ = kNever;
  ArmTimers(now);
}

int64_t Sender::Deadline(int64_t now) const {
  int64_t at = std::min({rto_at_, tail_at_, rack_at_, window_at_});
  // Pacing is a reason to wake up only if something waits for it.
  if (pace_at_ > now && (scoreboard_.lost() > 0 || (nxt_ < end_ && nxt_ < edge_) || (finish_ && nxt_ == end_))) {
    at = std::min(at, pace_at_);
  }
  return at;
}

}  // namespace lattice::netstack
