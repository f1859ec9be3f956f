// CUBIC (RFC 9438) with HyStart++ (RFC 9406) and proportional rate reduction (RFC 6937). One thread.
#ifndef USERSPACE_NETSTACK_CUBIC_H_
#define USERSPACE_NETSTACK_CUBIC_H_

#include <cstdint>
#include <limits>

#include "userspace/netstack/congestion.h"

namespace lattice::netstack {

class Cubic : public CongestionControl {
 public:
  explicit Cubic(uint32_t mss) : mss_(mss), window_(kInitialWindowSegments * mss) {}

  void OnAck(const AckSample& sample) override;
  void OnRecoveryStart(int64_t now, uint64_t in_flight) override;
  void OnRecoveryEnd(int64_t now) override;
  void OnTimeout(int64_t now, uint64_t in_flight) override;
  void OnSpurious() override;
  void OnIdleRestart(int64_t now) override;
  void SetMss(uint32_t mss) override { mss_ = mss; }
  uint64_t window() const override { return window_; }
  uint64_t pacing_rate() const override { return pacing_rate_; }
  bool in_slow_start() const { return window_ < threshold_; }

 private:
  void Remember();
  void Reduce();
  void Grow(const AckSample& sample);
  void SlowStart(const AckSample& sample);
  void Avoid(const AckSample& sample);
  void ReduceInRecovery(const AckSample& sample);

  uint32_t mss_;
  uint64_t window_;
  uint64_t threshold_ = std::numeric_limits<uint64_t>::max();
  uint64_t pacing_rate_ = 0;

  // RFC 9438, in segments and seconds.
  double w_max_ = 0, k_ = 0, w_est_ = 0;
  int64_t epoch_ = 0;  // 0: the next ACK starts one
  double start_segments_ = 0;
  double fraction_ = 0;  // of a byte, not yet in window_

  // RFC 9406: a round ends when what was delivered at its start plus what was in flight is delivered.
  uint64_t round_end_ = 0;
  int64_t round_rtt_ns_ = std::numeric_limits<int64_t>::max(), last_round_rtt_ns_ = 0, baseline_rtt_ns_ = 0;
  int round_samples_ = 0, css_rounds_ = 0;
  bool css_ = false;

  // RFC 6937.
  uint64_t prr_delivered_ = 0, prr_out_ = 0, recover_flight_ = 0, last_flight_ = 0;

  struct Saved {
    uint64_t window = 0, threshold = 0;
    double w_max = 0, k = 0;
    int64_t epoch = 0;
  } saved_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_CUBIC_H_
