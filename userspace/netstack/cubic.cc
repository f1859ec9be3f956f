// Theory of operation. After a loss the window follows W(t) = C (t - K)^3 + W_max: back to where the loss was, slowly
// around it, faster beyond; never below what Reno would have (RFC 9438 4.3). Slow start ends by rising round trips
// before it ends by loss (HyStart++). In recovery the window shrinks in step with what is delivered (PRR) so that
// sending goes on. It is paced at twice the window per round trip in slow start and 1.25 times later: only bursts
// are taken away, never rate.
#include "userspace/netstack/cubic.h"

#include <algorithm>
#include <cmath>

namespace lattice::netstack {
namespace {

constexpr double kC = 0.4, kBeta = 0.7;
// RFC 9406 4.3.
constexpr int64_t kMinThresh = 4 * kMillisecond, kMaxThresh = 16 * kMillisecond;
constexpr int kRttSamples = 8, kCssRounds = 5;
constexpr uint64_t kCssDivisor = 4;

}  // namespace

void Cubic::Remember() {
  saved_ = {window_, threshold_, w_max_, k_, epoch_};
}

void Cubic::Reduce() {
  const double segments = static_cast<double>(window_) / mss_;
  // Fast convergence (RFC 9438 4.7): below the last maximum, leave room for others.
  w_max_ = segments < w_max_ ? segments * (1 + kBeta) / 2 : segments;
  threshold_ = std::max<uint64_t>(static_cast<uint64_t>(static_cast<double>(window_) * kBeta), 2 * mss_);
  epoch_ = 0;
  css_ = false;
}

void Cubic::OnRecoveryStart(int64_t now, uint64_t in_flight) {
  Remember();
  recover_flight_ = std::max<uint64_t>(in_flight, mss_);
  Reduce();
  prr_delivered_ = prr_out_ = 0;
  last_flight_ = in_flight;
}

void Cubic::OnRecoveryEnd(int64_t now) {
  window_ = threshold_;
}

void Cubic::OnTimeout(int64_t now, uint64_t in_flight) {
  Remember();
  Reduce();
  window_ = mss_;
}

void Cubic::OnSpurious() {
  if (saved_.window == 0) return;
  window_ = std::max(window_, saved_.window);
  threshold_ = saved_.threshold;
  w_max_ = saved_.w_max;
  k_ = saved_.k;
  epoch_ = saved_.epoch;
  saved_.window = 0;
}

// RFC 9438 4.2 and RFC 5681 4.1: time without sending is no time of growth, and the window starts anew.
void Cubic::OnIdleRestart(int64_t now) {
  window_ = std::min<uint64_t>(window_, kInitialWindowSegments * mss_);
  epoch_ = 0;
}

void Cubic::ReduceInRecovery(const AckSample& sample) {
  prr_delivered_ += sample.acked;
  prr_out_ += sample.prior_in_flight - std::min(sample.prior_in_flight, last_flight_);  // sent since the last ACK
  const uint64_t owed = prr_delivered_ - std::min(prr_delivered_, prr_out_);
  uint64_t send;
  if (sample.in_flight > threshold_) {
    const uint64_t due = prr_delivered_ * threshold_ / recover_flight_;
    send = due - std::min(due, prr_out_);
  } else {
    // The slow start reduction bound, by bytes and not by ACKs: our peers send one ACK for a burst.
    send =
        std::min(threshold_ - sample.in_flight, std::max(owed, sample.acked) + std::max<uint64_t>(sample.acked, mss_));
  }
  last_flight_ = sample.in_flight;
  window_ = std::max<uint64_t>(sample.in_flight + send, mss_);
}

void Cubic::SlowStart(const AckSample& sample) {
  if (sample.delivered >= round_end_) {
    round_end_ = sample.delivered + sample.in_flight;
    last_round_rtt_ns_ = round_samples_ == 0 ? 0 : round_rtt_ns_;
    round_rtt_ns_ = std::numeric_limits<int64_t>::max();
    round_samples_ = 0;
    if (css_ && ++css_rounds_ >= kCssRounds) threshold_ = window_;
  }
  if (sample.rtt_ns > 0) {
    round_rtt_ns_ = std::min(round_rtt_ns_, sample.rtt_ns);
    ++round_samples_;
  }
  if (round_samples_ >= kRttSamples && last_round_rtt_ns_ > 0) {
    const int64_t rise = std::clamp(last_round_rtt_ns_ / 8, kMinThresh, kMaxThresh);
    if (!css_ && round_rtt_ns_ >= last_round_rtt_ns_ + rise) {
      css_ = true;
      css_rounds_ = 0;
      baseline_rtt_ns_ = round_rtt_ns_;
    } else if (css_ && round_rtt_ns_ < baseline_rtt_ns_) {
      css_ = false;
    }
  }
  // Paced, so there is no limit on what one ACK may add (RFC 9406 4.2).
  window_ = std::min(window_ + (css_ ? sample.acked / kCssDivisor : sample.acked), std::max(threshold_, window_));
}

void Cubic::Avoid(const AckSample& sample) {
  const double segments = static_cast<double>(window_) / mss_;
  if (epoch_ == 0) {
    epoch_ = sample.now;
    start_segments_ = w_est_ = segments;
    if (w_max_ < segments) w_max_ = segments;
    k_ = std::cbrt((w_max_ - segments) / kC);
  }
  const double t = static_cast<double>(sample.now - epoch_ + sample.srtt_ns) / 1e9;
  const double target = std::clamp(kC * std::pow(t - k_, 3) + w_max_, segments, 1.5 * segments);
  // RFC 9438 4.3: Reno's window, with alpha for beta 0.7 until it is back where it was.
  const double acked = static_cast<double>(sample.acked) / mss_;
  const double alpha = w_est_ < w_max_ ? 3 * (1 - kBeta) / (1 + kBeta) : 1;
  w_est_ += alpha * acked / segments;
  fraction_ += (target - segments) / segments * static_cast<double>(sample.acked);
  if (w_est_ > segments + fraction_ / mss_) fraction_ = (w_est_ - segments) * mss_;
  const auto whole = static_cast<uint64_t>(fraction_);
  window_ += whole;
  fraction_ -= static_cast<double>(whole);
}

void Cubic::Grow(const AckSample& sample) {
  if (!sample.window_limited) return;  // RFC 9438 5.8: an unused window must not grow
  if (in_slow_start()) {
    SlowStart(sample);
  } else {
    Avoid(sample);
  }
}

void Cubic::OnAck(const AckSample& sample) {
  if (sample.in_recovery) {
    ReduceInRecovery(sample);
  } else {
    Grow(sample);
  }
  if (sample.srtt_ns > 0) {
    const double gain = in_slow_start() ? 2 : 1.25;
    pacing_rate_ =
        static_cast<uint64_t>(gain * static_cast<double>(window_) * 1e9 / static_cast<double>(sample.srtt_ns));
  }
}

}  // namespace lattice::netstack
