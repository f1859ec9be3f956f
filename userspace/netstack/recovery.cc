// Theory of operation. Loss is found by time (RACK, RFC 8985): what was sent well before something that has arrived
// is lost. Where nothing arrives any more, a probe of the tail makes something arrive (TLP), and behind that stands
// the retransmission timer (RFC 6298), after which all is sent again slowly, unless timestamps show that it ran out
// for nothing (Eifel, RFC 3522). A peer without SACK gets the third duplicate ACK and partial ACKs of RFC 6582.
#include <algorithm>

#include "userspace/netstack/sender.h"

namespace lattice::netstack {
namespace {
constexpr int kDuplicateThreshold = 3;
constexpr int kMaxReorderSteps = 20, kReorderRecoveries = 16;
}  // namespace

// RFC 8985 6.2 step 4.
int64_t Sender::ReorderWindow() const {
  if (!reordering_seen_ && (state_ != State::kOpen || scoreboard_.sacked() >= kDuplicateThreshold * mss_)) return 0;
  const int64_t window = rtt_.min_ns() / 4 * reorder_steps_;
  return std::min(window, rtt_.srtt_ns());
}

uint64_t Sender::DetectLoss(int64_t now) {
  const Scoreboard::LossResult result = scoreboard_.DetectLoss(now, ReorderWindow());
  rack_at_ = result.deadline;
  return result.lost;
}

void Sender::UpdateState(uint64_t lost, int64_t now) {
  if (state_ != State::kOpen && una_ >= recovery_point_) {
    if (state_ == State::kRecovery) congestion_->OnRecoveryEnd(now);
    state_ = State::kOpen;
    undo_ = false;
    if (++reorder_recoveries_ > kReorderRecoveries) reorder_steps_ = 1;
  }
  if (lost == 0 || state_ != State::kOpen) return;
  state_ = State::kRecovery;
  recovery_point_ = nxt_;
  ++counters_.fast_recoveries;
  congestion_->OnRecoveryStart(now, scoreboard_.in_flight() + lost);
}

void Sender::OnDuplicateAck(const Ack& ack) {
  if (sack_ok_) return;
  if (ack.ack > una_) {
    duplicate_acks_ = 0;
    return;
  }
  if (ack.bare && ack.ack == una_ && nxt_ > una_) ++duplicate_acks_;
}

// RFC 8985 7.4.
void Sender::CheckTailProbe(const Ack& ack, int64_t now) {
  if (!tail_out_ || ack.ack < tail_end_) return;
  tail_out_ = false;
  // The copy was needed, so something was lost, and nothing else tells the congestion control.
  if (tail_copy_ && !ack.duplicate_report && state_ == State::kOpen) {
    congestion_->OnRecoveryStart(now, scoreboard_.in_flight());
    congestion_->OnRecoveryEnd(now);
  }
}

void Sender::CheckSpurious(const Ack& ack) {
  if (!undo_ || undo_sent_ns_ == 0 || ack.ack <= una_) return;
  undo_ = false;
  if (ack.echo_before_ns > undo_sent_ns_) return;
  // What is acknowledged was sent before the first copy.
  ++counters_.spurious_timeouts;
  scoreboard_.MarkNoneLost();
  congestion_->OnSpurious();
  state_ = State::kOpen;
}

bool Sender::OnAck(const Ack& ack, int64_t now) {
  const uint64_t prior = scoreboard_.in_flight();
  const bool limited = blocked_ || (2 * prior >= congestion_->window() && !scoreboard_.app_limited());
  OnDuplicateAck(ack);
  CheckSpurious(ack);
  const bool advanced = ack.ack > una_;
  if (ack.duplicate_report) {
    reorder_steps_ = std::min(reorder_steps_ + 1, kMaxReorderSteps);
    reorder_recoveries_ = 0;
  }
  Scoreboard::AckResult result = scoreboard_.OnAck(ack.ack, ack.sacks, now, rtt_.min_ns(), ack.echo_before_ns);
  reordering_seen_ |= result.reordered;
  una_ = std::max(una_, ack.ack);
  if (advanced) {
    if (una_ >= end_) {
      store_.Clear();
    } else {
      store_.ReleaseBelow(una_);
    }
    consecutive_timeouts_ = 0;
    rtt_.EndBackoff();
  }
  if (result.rtt_ns >= 0) rtt_.Sample(result.rtt_ns, now);
  CheckTailProbe(ack, now);
  uint64_t lost = sack_ok_ ? DetectLoss(now) : 0;
  if (!sack_ok_ &&
      (duplicate_acks_ == kDuplicateThreshold || (advanced && state_ == State::kRecovery && una_ < recovery_point_))) {
    lost = scoreboard_.MarkLost({una_, std::min(una_ + mss_, nxt_)});
  }
  UpdateState(lost, now);
  if (result.acked > 0) {
    congestion_->OnAck({.now = now,
                        .rtt_ns = result.rtt_ns,
                        .srtt_ns = rtt_.srtt_ns(),
                        .acked = result.acked,
                        .lost = lost,
                        .in_flight = Pipe(),
                        .prior_in_flight = prior,
                        .delivered = scoreboard_.delivered(),
                        .in_recovery = state_ == State::kRecovery,
                        .window_limited = limited,
                        .rate_ns = result.rate_ns,
                        .rate_bytes = result.rate_bytes,
                        .prior_delivered = result.prior_delivered,
                        .app_limited = result.app_limited});
  }
  if (result.acked > 0 || advanced) {
    stalled_since_ = scoreboard_.empty() ? 0 : now;
    rto_at_ = scoreboard_.empty() ? kNever : now + rtt_.rto_ns();
  }
  ArmTimers(now);
  return advanced;
}

void Sender::OnWindow(Sequence ack, uint64_t window, int64_t now) {
  edge_ = ack + window;
  largest_window_ = std::max(largest_window_, window);
  if (edge_ > nxt_) {
    window_at_ = kNever;
    window_probes_ = 0;
  }
  // It answers: a window may stay shut for as long as it likes (RFC 9293 3.8.6.1).
  if (scoreboard_.empty()) stalled_since_ = 0;
  ArmTimers(now);
}

void Sender::ArmTimers(int64_t now) {
  tail_at_ = kNever;
  if (scoreboard_.empty()) {
    rto_at_ = rack_at_ = kNever;
    const bool shut = nxt_ < end_ && edge_ <= nxt_;
    if (shut && window_at_ == kNever) {
      window_at_ = now + std::min(rtt_.rto_ns() << std::min(window_probes_, 10), RttEstimator::kMaxRtoNs);
    }
    if (!shut) window_at_ = kNever;
    return;
  }
  // RFC 8985 7.2.
  if (state_ != State::kOpen || tail_out_ || !sack_ok_ || !rtt_.has_sample() || scoreboard_.sacked() > 0) return;
  int64_t wait = 2 * rtt_.srtt_ns() + 2 * kMillisecond;
  if (scoreboard_.in_flight() <= mss_) wait += 200 * kMillisecond;  // the peer may hold its ACK back that long
  tail_at_ = std::min(scoreboard_.last_sent_ns() + wait, rto_at_);
}

Sender::Alarm Sender::OnTimeout(int64_t now) {
  if (now - stalled_since_ >= options_.user_timeout_ns) return Alarm::kDead;
  ++counters_.timeouts;
  ++consecutive_timeouts_;
  if (state_ != State::kLoss) {
    undo_ = true;
    undo_sent_ns_ = 0;
  } else {
    undo_ = false;  // the copy was lost too: no accident
  }
  scoreboard_.MarkAllLost();
  duplicate_acks_ = 0;
  tail_out_ = false;
  state_ = State::kLoss;
  recovery_point_ = nxt_;
  congestion_->OnTimeout(now, scoreboard_.in_flight());
  rtt_.Backoff();
  pace_at_ = now;
  rto_at_ = now + rtt_.rto_ns();
  rack_at_ = kNever;
  ArmTimers(now);
  return Alarm::kTimeout;
}

Sender::Alarm Sender::OnTimer(int64_t now) {
  if (rto_at_ <= now) return OnTimeout(now);
  if (tail_at_ <= now) {
    tail_at_ = kNever;
    probe_tail_ = true;
  }
  if (rack_at_ <= now) {
    UpdateState(DetectLoss(now), now);
    ArmTimers(now);
  }
  if (window_at_ <= now) {
    if (stalled_since_ == 0) stalled_since_ = now;
    if (now - stalled_since_ >= options_.user_timeout_ns) return Alarm::kDead;
    window_at_ = kNever;
    ++window_probes_;
    probe_window_ = true;
    ++counters_.zero_window_probes;
    ArmTimers(now);
  }
  return Alarm::kNone;
}

}  // namespace lattice::netstack
