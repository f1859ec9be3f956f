// A bounded queue of byte strings in one ring, which exists only while it holds something. One thread.
#ifndef USERSPACE_NETSTACK_PACKET_QUEUE_H_
#define USERSPACE_NETSTACK_PACKET_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/types/span.h"

namespace lattice::netstack {

class PacketQueue {
 public:
  // `capacity` in bytes, which a record takes with four more.
  explicit PacketQueue(size_t capacity) : capacity_(capacity & ~size_t{3}) {}

  // Room for a record of `bytes`, which the caller fills; nullptr: full.
  uint8_t* Push(size_t bytes);
  bool empty() const { return records_ == 0; }
  size_t records() const { return records_; }
  absl::Span<const uint8_t> Front() const;  // not of an empty queue
  void Pop();

 private:
  const size_t capacity_;
  std::unique_ptr<uint8_t[]> ring_;
  size_t head_ = 0, tail_ = 0, records_ = 0;
  size_t wrap_ = 0;  // where the records before the wrap end; 0: none wrapped
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_PACKET_QUEUE_H_
