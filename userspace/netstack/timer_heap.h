// Deadlines of many objects, the earliest first: a binary heap whose nodes know their place. One thread.
//
// An object has one node and keeps its own deadlines; it moves its node only when the earliest of them comes
// nearer. A node that fires too early is put back by its owner: an acknowledgement, which pushes a timeout back,
// costs the heap nothing.
#ifndef USERSPACE_NETSTACK_TIMER_HEAP_H_
#define USERSPACE_NETSTACK_TIMER_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace lattice::netstack {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

class TimerNode {
 public:
  virtual ~TimerNode() = default;
  int64_t deadline() const { return deadline_; }  // kNever: not in a heap
  virtual void OnTimer() = 0;                     // the node was taken out before

 protected:
  TimerNode() = default;

 private:
  friend class TimerHeap;
  int64_t deadline_ = kNever;
  uint32_t place_ = 0;
};

class TimerHeap {
 public:
  // kNever takes it out.
  void Set(TimerNode& node, int64_t deadline);
  void Cancel(TimerNode& node) { Set(node, kNever); }
  int64_t Next() const { return nodes_.empty() ? kNever : nodes_[0]->deadline_; }
  // The first node whose deadline is not after `now`, taken out; or nullptr.
  TimerNode* Pop(int64_t now);
  size_t size() const { return nodes_.size(); }

 private:
  void Up(size_t place);
  void Down(size_t place);
  void Put(size_t place, TimerNode* node);

  std::vector<TimerNode*> nodes_;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_TIMER_HEAP_H_
