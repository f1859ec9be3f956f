// Connections that are over but may still be asked about (RFC 9293 3.6.1): 64 bytes each, no timer each. One thread.
#ifndef USERSPACE_NETSTACK_TIME_WAIT_H_
#define USERSPACE_NETSTACK_TIME_WAIT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "userspace/netstack/timer_heap.h"
#include "userspace/netstack/types.h"

namespace lattice::netstack {

class TimeWaitTable {
 public:
  struct Entry {
    FlowKey flow;
    uint32_t snd_nxt = 0, rcv_nxt = 0;
    uint32_t ts_recent = 0, ts_offset = 0;
    uint32_t until_ms = 0;  // of the stack's clock, modulo 2^32
    uint32_t next = 0;      // in its bucket, 1-based
    uint16_t window = 0;    // as it is on the wire
    bool timestamps = false;
    bool live = false;
  };
  static_assert(sizeof(Entry) <= 64);

  TimeWaitTable(size_t max_entries, int64_t duration_ns) : max_entries_(max_entries), duration_ns_(duration_ns) {}

  // The oldest goes if there are too many; true if one did.
  bool Add(const Entry& entry, int64_t now);
  Entry* Find(const FlowKey& flow);
  void Remove(const FlowKey& flow);
  // Starts the time again.
  void Restart(const FlowKey& flow, int64_t now);
  void Expire(int64_t now);
  int64_t NextDeadline(int64_t now) const;
  size_t size() const { return live_; }

 private:
  uint32_t& Bucket(const FlowKey& flow);
  void Unlink(uint32_t index);
  void DropFront();
  void Grow();

  const size_t max_entries_;
  const int64_t duration_ns_;
  // A ring: all wait for the same time, so they go in the order they came. A removed one stays as a gap.
  std::vector<Entry> ring_;
  std::vector<uint32_t> buckets_;  // index into ring_, 1-based; as many as ring_ has places
  size_t head_ = 0, count_ = 0, live_ = 0;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_TIME_WAIT_H_
