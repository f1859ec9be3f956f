// The earliest deadline of each peer in one heap. A deadline that moves later costs nothing: the entry stays,
// comes up early, and its owner puts it where it belongs by then. One thread.
#ifndef USERSPACE_WIREGUARD_TIMER_QUEUE_H_
#define USERSPACE_WIREGUARD_TIMER_QUEUE_H_

#include <cstdint>
#include <vector>

#include "userspace/wireguard/allowed_ips.h"

namespace lattice::wireguard {

inline constexpr int64_t kNever = INT64_MAX;

class TimerQueue {
 public:
  // `peer` comes up at `at_ns` or before. kNever takes an entry that came up no further.
  void AtLatest(PeerSlot peer, int64_t at_ns);
  void Remove(PeerSlot peer);
  // kNever when there is none.
  int64_t earliest_ns() const { return heap_.empty() ? kNever : heap_.front().at_ns; }
  // Takes out one peer whose time has come; kNoPeer when there is none.
  PeerSlot PopDue(int64_t now_ns);

 private:
  struct Entry {
    int64_t at_ns;
    PeerSlot peer;
  };
  static constexpr uint32_t kOut = UINT32_MAX;

  void Place(size_t index, const Entry& entry);
  void Up(size_t index, const Entry& entry);
  void Down(size_t index, const Entry& entry);
  void TakeOut(size_t index);

  std::vector<Entry> heap_;
  std::vector<uint32_t> where_;  // by peer: its index in heap_ or kOut
};

}  // namespace lattice::wireguard

#endif  // USERSPACE_WIREGUARD_TIMER_QUEUE_H_
