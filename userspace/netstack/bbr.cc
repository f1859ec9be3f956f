// Theory of operation. Two measurements make the model: the highest delivery rate of the last five to ten round
// trips, and the shortest round trip of the last ten seconds. Startup doubles the rate each round until three rounds
// bring less than a quarter more; Drain empties the queue that made; ProbeBandwidth then sends at the measured rate,
// for one round trip in eight a quarter faster (does the path carry more?) and for one a quarter slower (what that
// queued drains). When the shortest round trip is ten seconds old, ProbeRtt halves what is in flight for 200 ms.
//
// Single losses do not slow it down, which is why it is the default: agents sit behind lossy paths. Where it differs
// from the drafts: a round that lost more than a tenth of what it sent (a policer, a short queue) sets a bound on what
// is in flight, which clean rounds lift again; Startup ends at such a round too. Extra bytes for aggregated ACKs are
// a constant, three send quanta, since our receivers acknowledge once per burst.
#include "userspace/netstack/bbr.h"

namespace lattice::netstack {
namespace {

constexpr double kHighGain = 2.885, kDrainGain = 1 / kHighGain, kWindowGain = 2;
constexpr double kCycle[] = {1.25, 0.75, 1, 1, 1, 1, 1, 1};
constexpr int kCycleLength = 8;
constexpr uint64_t kGenerationRounds = 5;
constexpr int64_t kMinRttWindow = 10 * kSecond, kProbeRttTime = 200 * kMillisecond;
constexpr uint64_t kMinSegments = 4;
constexpr uint64_t kMaxQuantum = 64 * 1024;
// A round with at least this many segments lost, and more than one part in ten of what it sent.
constexpr uint64_t kLossSegments = 8, kLossPart = 10;

}  // namespace

Bbr::Bbr(uint32_t mss, uint32_t seed)
    : mss_(mss),
      random_(seed | 1),
      pacing_gain_(kHighGain),
      window_gain_(kHighGain),
      window_(kInitialWindowSegments * mss) {}

uint64_t Bbr::Bdp(double gain) const {
  if (min_rtt_ns_ == 0 || bandwidth() == 0) return kInitialWindowSegments * mss_;
  return static_cast<uint64_t>(gain * static_cast<double>(bandwidth()) * static_cast<double>(min_rtt_ns_) / 1e9);
}

// What leaves at once: a millisecond's worth, between two segments and one GSO buffer.
uint64_t Bbr::Quantum() const {
  return std::clamp<uint64_t>(pacing_rate_ / 1000, 2 * mss_, kMaxQuantum);
}

uint64_t Bbr::window() const {
  const uint64_t least = kMinSegments * mss_;
  if (mode_ == Mode::kProbeRtt) return std::max(least, std::min(window_, Bdp(0.5)));
  uint64_t window = window_;
  if (flight_bound_ != 0) window = std::min(window, flight_bound_);
  return std::max(window, least);
}

void Bbr::UpdateRound(const AckSample& sample) {
  round_start_ = false;
  if (sample.rate_ns == 0 || sample.prior_delivered < round_end_) return;
  round_end_ = sample.delivered;
  ++round_;
  round_start_ = true;
  if (round_ - generation_round_ >= kGenerationRounds) {
    generation_round_ = round_;
    max_before_ = max_now_;
    max_now_ = 0;
  }
}

void Bbr::UpdateBandwidth(const AckSample& sample) {
  // A rate over less than a round trip is of ACKs that came together, not of the path.
  if (sample.rate_ns == 0 || sample.rate_ns < min_rtt_ns_) return;
  const auto rate =
      static_cast<uint64_t>(static_cast<double>(sample.rate_bytes) * 1e9 / static_cast<double>(sample.rate_ns));
  // An application that has nothing to send says nothing of the path, unless even so it went faster.
  if (!sample.app_limited || rate >= bandwidth()) max_now_ = std::max(max_now_, rate);
}

void Bbr::UpdateMinRtt(const AckSample& sample) {
  const bool expired = min_rtt_ns_ != 0 && sample.now - min_rtt_stamp_ > kMinRttWindow;
  if (sample.rtt_ns > 0 && (min_rtt_ns_ == 0 || sample.rtt_ns <= min_rtt_ns_ || expired)) {
    min_rtt_ns_ = sample.rtt_ns;
    min_rtt_stamp_ = sample.now;
  }
  if (expired && mode_ != Mode::kProbeRtt && mode_ != Mode::kStartup && sample.rtt_ns > 0) {
    mode_ = Mode::kProbeRtt;
    pacing_gain_ = 1;
    probe_rtt_end_ = 0;
  }
  if (mode_ != Mode::kProbeRtt) return;
  if (probe_rtt_end_ == 0 && sample.in_flight <= window()) {
    probe_rtt_end_ = sample.now + std::max(kProbeRttTime, min_rtt_ns_);
  } else if (probe_rtt_end_ != 0 && sample.now > probe_rtt_end_) {
    min_rtt_stamp_ = sample.now;
    if (full_) {
      EnterProbeBandwidth(sample.now);
    } else {
      mode_ = Mode::kStartup;
      pacing_gain_ = window_gain_ = kHighGain;
    }
  }
}

void Bbr::UpdateLoss(const AckSample& sample) {
  round_lost_ += sample.lost;
  round_acked_ += sample.acked;
  round_flight_ = std::max(round_flight_, sample.prior_in_flight);
  if (!round_start_) return;
  const bool heavy = round_lost_ >= kLossSegments * mss_ && round_lost_ * kLossPart > round_lost_ + round_acked_;
  if (heavy) {
    full_ = true;
    const uint64_t carried = round_flight_ - std::min(round_flight_, round_lost_);
    flight_bound_ = std::max({Bdp(1), carried, kMinSegments * mss_});
  } else if (flight_bound_ != 0) {
    flight_bound_ += std::max<uint64_t>(flight_bound_ / 8, mss_);
    if (flight_bound_ > 2 * Bdp(kWindowGain)) flight_bound_ = 0;
  }
  round_lost_ = round_acked_ = round_flight_ = 0;
}

void Bbr::CheckFull(const AckSample& sample) {
  if (full_ || !round_start_ || sample.app_limited) return;
  if (bandwidth() >= full_bandwidth_ + full_bandwidth_ / 4) {
    full_bandwidth_ = bandwidth();
    full_rounds_ = 0;
  } else if (++full_rounds_ >= 3) {
    full_ = true;
  }
}

void Bbr::EnterProbeBandwidth(int64_t now) {
  mode_ = Mode::kProbeBandwidth;
  window_gain_ = kWindowGain;
  // Any phase but the slow one, so that flows which started together do not probe together.
  random_ = random_ * 1664525 + 1013904223;
  cycle_ = static_cast<int>(random_ >> 16) % (kCycleLength - 1);
  if (cycle_ >= 1) ++cycle_;
  pacing_gain_ = kCycle[cycle_];
  cycle_stamp_ = now;
}

void Bbr::AdvanceCycle(const AckSample& sample) {
  const bool elapsed = sample.now - cycle_stamp_ > min_rtt_ns_;
  bool next = elapsed;
  // Faster until the queue shows or something is lost; slower until the queue is gone.
  if (pacing_gain_ > 1)
    next = elapsed && (sample.lost > 0 || sample.prior_in_flight >= Bdp(pacing_gain_) || sample.app_limited);
  if (pacing_gain_ < 1) next = elapsed || sample.in_flight <= Bdp(1);
  if (!next) return;
  cycle_ = (cycle_ + 1) % kCycleLength;
  pacing_gain_ = kCycle[cycle_];
  cycle_stamp_ = sample.now;
}

void Bbr::UpdateMode(const AckSample& sample) {
  if (mode_ == Mode::kStartup && full_) {
    mode_ = Mode::kDrain;
    pacing_gain_ = kDrainGain;
    window_gain_ = kHighGain;
  }
  if (mode_ == Mode::kDrain && sample.in_flight <= Bdp(1)) EnterProbeBandwidth(sample.now);
  if (mode_ == Mode::kProbeBandwidth) AdvanceCycle(sample);
}

void Bbr::UpdateWindow(const AckSample& sample) {
  const uint64_t target = Bdp(window_gain_) + 3 * Quantum();
  if (full_) {
    window_ = std::min(window_ + sample.acked, target);
  } else if (window_ < target || sample.delivered < kInitialWindowSegments * mss_) {
    window_ += sample.acked;
  }
  window_ = std::max(window_, kMinSegments * mss_);
}

void Bbr::OnAck(const AckSample& sample) {
  UpdateRound(sample);
  UpdateBandwidth(sample);
  UpdateLoss(sample);
  CheckFull(sample);
  UpdateMode(sample);
  UpdateMinRtt(sample);
  if (bandwidth() != 0 && (full_ || sample.delivered > kInitialWindowSegments * mss_)) {
    const auto rate = static_cast<uint64_t>(pacing_gain_ * static_cast<double>(bandwidth()));
    if (full_ || rate > pacing_rate_) pacing_rate_ = rate;
  } else if (sample.srtt_ns > 0 && pacing_rate_ == 0) {
    pacing_rate_ =
        static_cast<uint64_t>(kHighGain * static_cast<double>(window_) * 1e9 / static_cast<double>(sample.srtt_ns));
  }
  UpdateWindow(sample);
}

void Bbr::OnRecoveryStart(int64_t now, uint64_t in_flight) {
  window_before_loss_ = std::max(window_, window_before_loss_);
}

void Bbr::OnRecoveryEnd(int64_t now) {
  window_before_loss_ = 0;
}

void Bbr::OnTimeout(int64_t now, uint64_t in_flight) {
  window_before_loss_ = std::max(window_, window_before_loss_);
  window_ = in_flight + mss_;
}

void Bbr::OnSpurious() {
  window_ = std::max(window_, window_before_loss_);
  window_before_loss_ = 0;
}

// The model holds: pacing keeps the restart from being a burst.
void Bbr::OnIdleRestart(int64_t now) {
  cycle_stamp_ = now;
}

}  // namespace lattice::netstack
