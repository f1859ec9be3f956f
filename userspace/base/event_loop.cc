#include "userspace/base/event_loop.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/memory/memory.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"

namespace lattice {
namespace {

int64_t NowNs() {
  return RealClock().MonotonicNs();
}

// What epoll gives back: a callback may close an fd and another may get its number
// while events of the first are still in the batch.
epoll_event MakeEvent(int fd, uint32_t serial, uint32_t events) {
  return {.events = events, .data = {.u64 = uint64_t{serial} << 32 | static_cast<uint32_t>(fd)}};
}

}  // namespace

absl::StatusOr<std::unique_ptr<EventLoop>> EventLoop::Create() {
  auto loop = absl::WrapUnique(new EventLoop());
  loop->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!loop->epoll_.ok()) return ErrnoStatus(errno, "epoll_create1");
  loop->wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!loop->wake_.ok()) return ErrnoStatus(errno, "eventfd");
  EventLoop* raw = loop.get();
  LATTICE_RETURN_IF_ERROR(loop->AddFd(loop->wake_.get(), EPOLLIN, [raw](uint32_t) {
    uint64_t count;
    // EAGAIN only says that another turn has read it.
    [[maybe_unused]] const ssize_t n = read(raw->wake_.get(), &count, sizeof(count));
  }));
  return loop;
}

EventLoop::~EventLoop() = default;

absl::Status EventLoop::AddFd(int fd, uint32_t events, std::function<void(uint32_t)> callback) {
  const uint32_t serial = ++last_serial_;
  epoll_event event = MakeEvent(fd, serial, events);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl(ADD)");
  fds_[fd] = {serial, std::make_shared<std::function<void(uint32_t)>>(std::move(callback))};
  return absl::OkStatus();
}

absl::Status EventLoop::ModifyFd(int fd, uint32_t events) {
  const auto it = fds_.find(fd);
  if (it == fds_.end()) return absl::NotFoundError("epoll_ctl(MOD): not added");
  epoll_event event = MakeEvent(fd, it->second.serial, events);
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return ErrnoStatus(errno, "epoll_ctl(MOD)");
  return absl::OkStatus();
}

void EventLoop::RemoveFd(int fd) {
  if (fds_.erase(fd) == 0) return;
  // Fails only when the fd was closed first, which already removed it.
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::TimerId EventLoop::AddTimer(absl::Duration period, std::function<void()> callback) {
  const int64_t period_ns = std::max<int64_t>(absl::ToInt64Nanoseconds(period), 1);
  timers_[next_timer_] = Timer{NowNs() + period_ns, period_ns, std::move(callback)};
  return next_timer_++;
}

EventLoop::TimerId EventLoop::AddOnce(absl::Duration delay, std::function<void()> callback) {
  timers_[next_timer_] = Timer{NowNs() + absl::ToInt64Nanoseconds(delay), 0, std::move(callback)};
  return next_timer_++;
}

void EventLoop::RemoveTimer(TimerId id) {
  timers_.erase(id);
}

absl::Status EventLoop::AddSignal(int signal, std::function<void()> callback) {
  sigset_t set;
  sigemptyset(&set);
  if (sigaddset(&set, signal) != 0) return ErrnoStatus(errno, "sigaddset");
  if (const int error = pthread_sigmask(SIG_BLOCK, &set, nullptr); error != 0)
    return ErrnoStatus(error, "pthread_sigmask");
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus(errno, "signalfd");
  const int raw = fd.get();
  LATTICE_RETURN_IF_ERROR(AddFd(raw, EPOLLIN, [raw, callback = std::move(callback)](uint32_t) {
    signalfd_siginfo info;
    while (read(raw, &info, sizeof(info)) == sizeof(info)) callback();
  }));
  signals_[signal] = std::move(fd);
  return absl::OkStatus();
}

void EventLoop::Post(std::function<void()> callback) {
  {
    absl::MutexLock lock(&mutex_);
    posted_.push_back(std::move(callback));
  }
  Wake();
}

void EventLoop::Stop() {
  stop_ = true;
  Wake();
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full: then the loop is awake anyway.
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof(one));
}

int EventLoop::NextTimeoutMs() const {
  if (!requested_.empty()) return 0;
  if (timers_.empty()) return -1;
  int64_t due = std::numeric_limits<int64_t>::max();
  for (const auto& [id, timer] : timers_) due = std::min(due, timer.due_ns);
  const int64_t wait_ns = std::max<int64_t>(due - NowNs(), 0);
  return static_cast<int>(std::min<int64_t>((wait_ns + 999'999) / 1'000'000, 3'600'000));
}

void EventLoop::RunTimers() {
  const int64_t now = NowNs();
  std::vector<TimerId> due;
  for (const auto& [id, timer] : timers_) {
    if (timer.due_ns <= now) due.push_back(id);
  }
  for (TimerId id : due) {
    auto it = timers_.find(id);
    if (it == timers_.end()) continue;  // removed by a callback before it
    auto callback = it->second.callback;
    if (it->second.period_ns == 0) {
      timers_.erase(it);
    } else {
      it->second.due_ns = now + it->second.period_ns;
    }
    callback();
  }
}

void EventLoop::RunPosted() {
  std::vector<std::function<void()>> posted;
  {
    absl::MutexLock lock(&mutex_);
    posted.swap(posted_);
  }
  for (auto& callback : posted) callback();
}

EventLoop::EndOfTurn::~EndOfTurn() {
  if (requested_) std::erase(loop_.requested_, this);
}

void EventLoop::EndOfTurn::Request() {
  if (std::exchange(requested_, true)) return;
  loop_.requested_.push_back(this);
}

void EventLoop::RunRequested() {
  for (size_t left = requested_.size(); left > 0 && !requested_.empty(); --left) {
    EndOfTurn* const next = requested_.front();
    requested_.pop_front();
    next->requested_ = false;
    next->callback_();
  }
}

absl::Status EventLoop::Run() {
  while (!stop_) {
    epoll_event events[64];
    const int count = epoll_wait(epoll_.get(), events, 64, NextTimeoutMs());
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "epoll_wait");
    for (int i = 0; i < count; ++i) {
      const auto it = fds_.find(static_cast<int>(events[i].data.u64 & 0xffffffff));
      // Removed, or removed and its number given anew, by a callback before it.
      if (it == fds_.end() || it->second.serial != events[i].data.u64 >> 32) continue;
      const auto callback = it->second.callback;
      (*callback)(events[i].events);
    }
    RunTimers();
    RunPosted();
    RunRequested();
  }
  stop_ = false;
  return absl::OkStatus();
}

}  // namespace lattice
