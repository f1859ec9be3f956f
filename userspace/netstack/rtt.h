// Round trip time and retransmission timeout (RFC 6298). One thread.
#ifndef USERSPACE_NETSTACK_RTT_H_
#define USERSPACE_NETSTACK_RTT_H_

#include <algorithm>
#include <cstdint>

namespace lattice::netstack {

class RttEstimator {
 public:
  static constexpr int64_t kInitialRtoNs = 1'000'000'000;
  static constexpr int64_t kMaxRtoNs = 60'000'000'000;

  explicit RttEstimator(int64_t min_rto_ns) : min_rto_ns_(min_rto_ns) {}

  // A round trip that is of no retransmission (Karn). Ends the back-off.
  void Sample(int64_t rtt_ns, int64_t now);
  // Each timeout doubles the next one.
  void Backoff() { backoff_ = std::min(backoff_ + 1, 10); }
  void EndBackoff() { backoff_ = 0; }
  bool has_sample() const { return srtt_ns_ != 0; }
  int64_t srtt_ns() const { return srtt_ns_; }  // 0: none yet
  int64_t min_ns() const { return min_ns_; }    // of the last minutes; 0: none yet
  int64_t rto_ns() const;

 private:
  const int64_t min_rto_ns_;
  int64_t srtt_ns_ = 0, rttvar_ns_ = 0, min_ns_ = 0, min_stamp_ = 0;
  int backoff_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_RTT_H_
