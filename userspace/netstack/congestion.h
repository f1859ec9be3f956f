// How fast a connection may send: the interface of the congestion controls. One thread.
//
// The sender tells what each ACK delivered and what was lost; it never has more than window() bytes in flight and
// spreads them by pacing_rate().
#ifndef USERSPACE_NETSTACK_CONGESTION_H_
#define USERSPACE_NETSTACK_CONGESTION_H_

#include <cstdint>
#include <memory>

#include "userspace/netstack/types.h"

namespace lattice::netstack {

// One ACK.
struct AckSample {
  int64_t now = 0;
  int64_t rtt_ns = -1;           // -1: this ACK gives none
  int64_t srtt_ns = 0;           // 0: none yet
  uint64_t acked = 0;            // bytes that left the network by this ACK, cumulative or by SACK
  uint64_t lost = 0;             // bytes found lost with it
  uint64_t in_flight = 0;        // after it
  uint64_t prior_in_flight = 0;  // before it
  uint64_t delivered = 0;        // of the whole connection so far
  bool in_recovery = false;
  bool window_limited = false;  // the window, not the application, held the sender back
  // Delivery rate (draft-cheng-iccrg-delivery-rate-estimation): `rate_bytes` came through in rate_ns, measured
  // from a packet that was sent when `prior_delivered` bytes were delivered. rate_ns 0: no sample.
  int64_t rate_ns = 0;
  uint64_t rate_bytes = 0;
  uint64_t prior_delivered = 0;
  bool app_limited = false;
};

class CongestionControl {
 public:
  virtual ~CongestionControl() = default;
  virtual void OnAck(const AckSample& sample) = 0;
  // The first loss of a recovery; `in_flight` without what was lost.
  virtual void OnRecoveryStart(int64_t now, uint64_t in_flight) = 0;
  virtual void OnRecoveryEnd(int64_t now) = 0;
  virtual void OnTimeout(int64_t now, uint64_t in_flight) = 0;
  // The last recovery or timeout was for nothing: as if it had not been.
  virtual void OnSpurious() = 0;
  // After a pause of more than a timeout.
  virtual void OnIdleRestart(int64_t now) = 0;
  virtual void SetMss(uint32_t mss) = 0;
  virtual uint64_t window() const = 0;
  virtual uint64_t pacing_rate() const = 0;  // bytes per second; 0: not paced
};

// IW10 (RFC 6928). `mss` without options; `seed` spreads what is to be random.
std::unique_ptr<CongestionControl> NewCongestionControl(Congestion kind, uint32_t mss, uint32_t seed);
constexpr uint32_t kInitialWindowSegments = 10;

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_CONGESTION_H_
