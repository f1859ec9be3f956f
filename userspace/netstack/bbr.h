// A paced sender by a model of the path: what it delivers at most and how long an empty one takes. One thread.
// After the published drafts on BBR (draft-ietf-ccwg-bbr); what differs is in bbr.cc.
#ifndef USERSPACE_NETSTACK_BBR_H_
#define USERSPACE_NETSTACK_BBR_H_

#include <algorithm>
#include <cstdint>

#include "userspace/netstack/congestion.h"

namespace lattice::netstack {

class Bbr : public CongestionControl {
 public:
  Bbr(uint32_t mss, uint32_t seed);

  void OnAck(const AckSample& sample) override;
  void OnRecoveryStart(int64_t now, uint64_t in_flight) override;
  void OnRecoveryEnd(int64_t now) override;
  void OnTimeout(int64_t now, uint64_t in_flight) override;
  void OnSpurious() override;
  void OnIdleRestart(int64_t now) override;
  void SetMss(uint32_t mss) override { mss_ = mss; }
  uint64_t window() const override;
  uint64_t pacing_rate() const override { return pacing_rate_; }

 private:
  enum class Mode : uint8_t { kStartup, kDrain, kProbeBandwidth, kProbeRtt };

  uint64_t bandwidth() const { return std::max(max_now_, max_before_); }  // bytes per second
  uint64_t Bdp(double gain) const;
  uint64_t Quantum() const;
  void UpdateRound(const AckSample& sample);
  void UpdateBandwidth(const AckSample& sample);
  void UpdateMinRtt(const AckSample& sample);
  void UpdateLoss(const AckSample& sample);
  void CheckFull(const AckSample& sample);
  void UpdateMode(const AckSample& sample);
  void AdvanceCycle(const AckSample& sample);
  void EnterProbeBandwidth(int64_t now);
  void UpdateWindow(const AckSample& sample);

  uint32_t mss_;
  uint32_t random_;
  Mode mode_ = Mode::kStartup;
  double pacing_gain_, window_gain_;
  uint64_t window_, window_before_loss_ = 0;
  uint64_t pacing_rate_ = 0;

  // Two generations of rounds: the maximum is of the last five to ten.
  uint64_t max_now_ = 0, max_before_ = 0;
  uint64_t round_ = 0, round_end_ = 0, generation_round_ = 0;
  bool round_start_ = false;

  uint64_t full_bandwidth_ = 0;
  int full_rounds_ = 0;
  bool full_ = false;

  int64_t min_rtt_ns_ = 0, min_rtt_stamp_ = 0;
  int64_t probe_rtt_end_ = 0;

  int cycle_ = 0;
  int64_t cycle_stamp_ = 0;

  // Loss of this round, and the bound on what may be in flight that too much of it sets. 0: no bound.
  uint64_t round_lost_ = 0, round_acked_ = 0, round_flight_ = 0;
  uint64_t flight_bound_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_BBR_H_
