#include "userspace/netstack/timer_heap.h"

namespace lattice::netstack {

void TimerHeap::Put(size_t place, TimerNode* node) {
  nodes_[place] = node;
  node->place_ = static_cast<uint32_t>(place);
}

void TimerHeap::Up(size_t place) {
  TimerNode* node = nodes_[place];
  while (place > 0 && nodes_[(place - 1) / 2]->deadline_ > node->deadline_) {
    Put(place, nodes_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  Put(place, node);
}

void TimerHeap::Down(size_t place) {
  TimerNode* node = nodes_[place];
  for (size_t child = 2 * place + 1; child < nodes_.size(); child = 2 * place + 1) {
    if (child + 1 < nodes_.size() && nodes_[child + 1]->deadline_ < nodes_[child]->deadline_) ++child;
    if (nodes_[child]->deadline_ >= node->deadline_) break;
    Put(place, nodes_[child]);
    place = child;
  }
  Put(place, node);
}

void TimerHeap::Set(TimerNode& node, int64_t deadline) {
  const int64_t before = node.deadline_;
  if (deadline == before) return;
  node.deadline_ = deadline;
  if (before == kNever) {
    nodes_.push_back(&node);
    Up(nodes_.size() - 1);
  } else if (deadline == kNever) {
    const size_t place = node.place_;
    TimerNode* last = nodes_.back();
    nodes_.pop_back();
    if (last == &node) return;
    Put(place, last);
    Up(place);
    Down(last->place_);
  } else if (deadline < before) {
    Up(node.place_);
  } else {
    Down(node.place_);
  }
}

TimerNode* TimerHeap::Pop(int64_t now) {
  if (Next() > now) return nullptr;
  TimerNode* node = nodes_[0];
  Cancel(*node);
  return node;
}

}  // namespace lattice::netstack
