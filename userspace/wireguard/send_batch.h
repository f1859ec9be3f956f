// Data messages of one size for one endpoint, one after the other in one buffer: what one
// sendmsg(UDP_SEGMENT) takes. The last may be shorter. The driver owns it and sends it; Device::Seal fills it.
// One thread.
#ifndef USERSPACE_WIREGUARD_SEND_BATCH_H_
#define USERSPACE_WIREGUARD_SEND_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"
#include "userspace/base/endpoint.h"

namespace lattice::wireguard {

class SendBatch {
 public:
  // 44 of an MTU of 1,420 are the most in a UDP datagram of 64 KiB; kernels before 6.8 take 64 at most.
  static constexpr size_t kMaxSegments = 44;
  static constexpr size_t kMaxBytes = 65'507;  // UDP over IPv4

  // `max_segments` 1: for a path without segmentation offload.
  explicit SendBatch(size_t max_segments = kMaxSegments)
      : max_segments_(max_segments), buffer_(new uint8_t[kMaxBytes]) {}

  bool empty() const { return used_ == 0; }
  const Endpoint& to() const { return to_; }
  absl::Span<const uint8_t> bytes() const { return {buffer_.get(), used_}; }
  size_t segment_bytes() const { return segment_bytes_; }
  size_t segments() const { return segments_; }
  void Clear() {
    used_ = segments_ = 0;
    closed_ = false;
  }

  // Room for one message; null when it does not fit: send and Clear() first.
  uint8_t* Reserve(const Endpoint& to, size_t bytes) {
    if (used_ == 0) {
      to_ = to;
      segment_bytes_ = bytes;
    } else if (closed_ || bytes > segment_bytes_ || segments_ >= max_segments_ || to != to_) {
      return nullptr;
    }
    if (used_ + bytes > kMaxBytes) return nullptr;
    closed_ = bytes < segment_bytes_;
    uint8_t* const place = buffer_.get() + used_;
    used_ += bytes;
    ++segments_;
    return place;
  }

 private:
  const size_t max_segments_;
  const std::unique_ptr<uint8_t[]> buffer_;  // not zeroed: pages come with use
  Endpoint to_;
  size_t used_ = 0, segments_ = 0, segment_bytes_ = 0;
  bool closed_ = false;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_SEND_BATCH_H_
