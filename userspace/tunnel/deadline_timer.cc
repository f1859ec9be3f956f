#include "userspace/tunnel/deadline_timer.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>

#include "absl/memory/memory.h"
#include "userspace/base/status.h"

namespace lattice::tunnel {

absl::StatusOr<std::unique_ptr<DeadlineTimer>> DeadlineTimer::Create(EventLoop& loop, std::function<void()> callback) {
  UniqueFd fd(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "timerfd_create");
  auto timer = absl::WrapUnique(new DeadlineTimer(loop, std::move(fd)));
  DeadlineTimer* const raw = timer.get();
  LATTICE_RETURN_IF_ERROR(loop.AddFd(raw->fd_.get(), EPOLLIN, [raw, callback = std::move(callback)](uint32_t) {
    uint64_t count;
    // EAGAIN: it was set anew since epoll looked.
    if (read(raw->fd_.get(), &count, sizeof(count)) < 0) return;
    raw->set_ns_ = kNever;
    callback();
  }));
  return timer;
}

DeadlineTimer::~DeadlineTimer() {
  loop_.RemoveFd(fd_.get());
}

void DeadlineTimer::At(int64_t deadline_ns) {
  if (deadline_ns >= set_ns_) return;
  set_ns_ = deadline_ns;
  // A time of zero would take the timer out of service.
  const int64_t ns = std::max<int64_t>(deadline_ns, 1);
  const itimerspec at{.it_value = {.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000}};
  // Fails for a time that is none, which it is not.
  timerfd_settime(fd_.get(), TFD_TIMER_ABSTIME, &at, nullptr);
}

}  // namespace lattice::tunnel
