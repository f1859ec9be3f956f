// One deadline of nanoseconds in an event loop, which moves all the time: a timerfd that is set anew only when the
// deadline comes nearer, and comes up early when it went away. One thread: the loop's.
#ifndef USERSPACE_TUNNEL_DEADLINE_TIMER_H_
#define USERSPACE_TUNNEL_DEADLINE_TIMER_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"

namespace lattice::tunnel {

class DeadlineTimer {
 public:
  static constexpr int64_t kNever = INT64_MAX;

  // `loop` must outlive it. `callback` runs at the deadline or before; it is to call At() again.
  static absl::StatusOr<std::unique_ptr<DeadlineTimer>> Create(EventLoop& loop, std::function<void()> callback);
  ~DeadlineTimer();
  DeadlineTimer(const DeadlineTimer&) = delete;
  DeadlineTimer& operator=(const DeadlineTimer&) = delete;

  // CLOCK_MONOTONIC; kNever: none. The deadline before does not count any more.
  void At(int64_t deadline_ns);

 private:
  DeadlineTimer(EventLoop& loop, UniqueFd fd) : loop_(loop), fd_(std::move(fd)) {}

  EventLoop& loop_;
  UniqueFd fd_;
  int64_t set_ns_ = kNever;  // what the timerfd will do
};

}  // namespace lattice::tunnel

#endif  // USERSPACE_TUNNEL_DEADLINE_TIMER_H_
