// A first-in, first-out queue through a hook in its elements: no allocation, out of the middle in one step. One thread.
#ifndef USERSPACE_NETSTACK_LINKED_QUEUE_H_
#define USERSPACE_NETSTACK_LINKED_QUEUE_H_

namespace lattice::netstack {

template <typename T>
struct QueueHook {
  T* next = nullptr;
  T* previous = nullptr;
  bool queued = false;
};

template <typename T, QueueHook<T> T::*kHook>
class LinkedQueue {
 public:
  bool empty() const { return head_ == nullptr; }
  T* front() const { return head_; }

  // At the end; an element that is in stays where it is.
  void Push(T& element) {
    QueueHook<T>& hook = element.*kHook;
    if (hook.queued) return;
    hook = {nullptr, tail_, true};
    (tail_ == nullptr ? head_ : (tail_->*kHook).next) = &element;
    tail_ = &element;
  }
  void Remove(T& element) {
    QueueHook<T>& hook = element.*kHook;
    if (!hook.queued) return;
    (hook.previous == nullptr ? head_ : (hook.previous->*kHook).next) = hook.next;
    (hook.next == nullptr ? tail_ : (hook.next->*kHook).previous) = hook.previous;
    hook = {};
  }
  T* Pop() {
    T* element = head_;
    if (element != nullptr) Remove(*element);
    return element;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_LINKED_QUEUE_H_
