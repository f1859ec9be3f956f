#include "userspace/wireguard/timer_queue.h"

namespace lattice::wireguard {

void TimerQueue::AtLatest(PeerSlot peer, int64_t at_ns) {
  if (at_ns == kNever) return;
  if (peer >= where_.size()) where_.resize(peer + 1, kOut);
  const Entry entry{.at_ns = at_ns, .peer = peer};
  if (where_[peer] == kOut) {
    heap_.push_back(entry);
    Up(heap_.size() - 1, entry);
  } else if (at_ns < heap_[where_[peer]].at_ns) {
    Up(where_[peer], entry);
  }
}

void TimerQueue::Remove(PeerSlot peer) {
  if (peer < where_.size() && where_[peer] != kOut) TakeOut(where_[peer]);
}

PeerSlot TimerQueue::PopDue(int64_t now_ns) {
  if (heap_.empty() || heap_.front().at_ns > now_ns) return kNoPeer;
  const PeerSlot peer = heap_.front().peer;
  TakeOut(0);
  return peer;
}

void TimerQueue::Place(size_t index, const Entry& entry) {
  heap_[index] = entry;
  where_[entry.peer] = static_cast<uint32_t>(index);
}

void TimerQueue::Up(size_t index, const Entry& entry) {
  while (index > 0 && entry.at_ns < heap_[(index - 1) / 2].at_ns) {
    Place(index, heap_[(index - 1) / 2]);
    index = (index - 1) / 2;
  }
  Place(index, entry);
}

void TimerQueue::Down(size_t index, const Entry& entry) {
  for (size_t child = 2 * index + 1; child < heap_.size(); child = 2 * index + 1) {
    if (child + 1 < heap_.size() && heap_[child + 1].at_ns < heap_[child].at_ns) ++child;
    if (entry.at_ns <= heap_[child].at_ns) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, entry);
}

void TimerQueue::TakeOut(size_t index) {
  where_[heap_[index].peer] = kOut;
  const Entry last = heap_.back();
  heap_.pop_back();
  if (index == heap_.size()) return;
  // The last entry may belong above or below the gap.
  if (index > 0 && last.at_ns < heap_[(index - 1) / 2].at_ns) {
    Up(index, last);
  } else {
    Down(index, last);
  }
}

}  // namespace lattice::wireguard
