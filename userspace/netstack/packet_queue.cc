// Theory of operation. Records lie whole: one that does not fit before the end of the ring starts at its beginning,
// and `wrap_` remembers where those before it end.
#include "userspace/netstack/packet_queue.h"

#include <cstring>

namespace lattice::netstack {
namespace {
constexpr size_t kLengthBytes = 4;
size_t Taken(size_t bytes) {
  return kLengthBytes + ((bytes + 3) & ~size_t{3});
}
}  // namespace

uint8_t* PacketQueue::Push(size_t bytes) {
  const size_t taken = Taken(bytes);
  size_t place = tail_;
  if (wrap_ == 0) {
    if (tail_ + taken > capacity_) {
      // Strictly below the head: equal would read as empty.
      if (records_ == 0 || taken >= head_) return nullptr;
      wrap_ = tail_;
      place = 0;
    }
  } else if (tail_ + taken >= head_) {
    return nullptr;
  }
  if (ring_ == nullptr) ring_ = std::make_unique_for_overwrite<uint8_t[]>(capacity_);
  const auto length = static_cast<uint32_t>(bytes);
  std::memcpy(&ring_[place], &length, kLengthBytes);
  tail_ = place + taken;
  ++records_;
  return &ring_[place + kLengthBytes];
}

absl::Span<const uint8_t> PacketQueue::Front() const {
  uint32_t length;
  std::memcpy(&length, &ring_[head_], kLengthBytes);
  return {&ring_[head_ + kLengthBytes], length};
}

void PacketQueue::Pop() {
  head_ += Taken(Front().size());
  --records_;
  if (head_ == wrap_) head_ = wrap_ = 0;
  if (records_ == 0) {
    head_ = tail_ = wrap_ = 0;
    ring_.reset();
  }
}

}  // namespace lattice::netstack
