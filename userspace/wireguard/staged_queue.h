// Packets that wait for a session, at most kMaxPackets: the oldest goes for a new one, and is counted. Each lies
// in a buffer with room for what a data message adds, so that it is sealed where it is. One thread.
#ifndef USERSPACE_WIREGUARD_STAGED_QUEUE_H_
#define USERSPACE_WIREGUARD_STAGED_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>
#include <vector>

namespace lattice::wireguard {

struct StagedPacket {
  std::vector<uint8_t> message;  // header, packet, padding, tag
  size_t packet_bytes = 0;
};

class StagedQueue {
 public:
  static constexpr size_t kMaxPackets = 128;

  // False when a packet was dropped for this one.
  bool Push(StagedPacket packet) {
    const bool full = packets_.size() == kMaxPackets;
    if (full) packets_.pop_front();
    packets_.push_back(std::move(packet));
    return !full;
  }
  StagedPacket Pop() {
    StagedPacket packet = std::move(packets_.front());
    packets_.pop_front();
    return packet;
  }
  // How many there were.
  size_t Clear() { return std::exchange(packets_, {}).size(); }
  bool empty() const { return packets_.empty(); }
  size_t size() const { return packets_.size(); }

 private:
  std::deque<StagedPacket> packets_;
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_STAGED_QUEUE_H_
