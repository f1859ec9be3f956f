// One epoll loop: file descriptors, timers and signals, each with a callback.
//
//   LATTICE_ASSIGN_OR_RETURN(auto loop, EventLoop::Create());
//   LATTICE_RETURN_IF_ERROR(loop->AddSignal(SIGTERM, [&] { loop->Stop(); }));
//   loop->AddTimer(absl::Seconds(1), [&] { sweep(); });
//   LATTICE_RETURN_IF_ERROR(loop->Run());
//
// Everything runs on the thread that calls Run(); only Post() and Stop() may be
// called from others. A callback may remove itself or any other.
#ifndef USERSPACE_BASE_EVENT_LOOP_H_
#define USERSPACE_BASE_EVENT_LOOP_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/unique_fd.h"

namespace lattice {

class EventLoop {
 public:
  static absl::StatusOr<std::unique_ptr<EventLoop>> Create();
  ~EventLoop();

  // `events` are EPOLLIN, EPOLLOUT…; the fd stays the caller's and is removed before it is closed.
  absl::Status AddFd(int fd, uint32_t events, std::function<void(uint32_t)> callback);
  absl::Status ModifyFd(int fd, uint32_t events);
  void RemoveFd(int fd);

  using TimerId = uint64_t;
  // Calls back every `period`, first after one period. Late turns are not made up for.
  TimerId AddTimer(absl::Duration period, std::function<void()> callback);
  // Calls back once.
  TimerId AddOnce(absl::Duration delay, std::function<void()> callback);
  void RemoveTimer(TimerId id);

  // Blocks `signal` in the calling thread (call before threads start, so they inherit it).
  absl::Status AddSignal(int signal, std::function<void()> callback);

  // Runs `callback` on the loop's thread at its next turn. Any thread.
  void Post(std::function<void()> callback);

  // Work that is done once at the end of a turn, however often it was asked for in it, and without a system call:
  //
  //   EndOfTurn flush_(loop, [this] { Flush(); });
  //   flush_.Request();
  //
  // What it asks for itself comes at the end of the next turn, at once. The loop must outlive it. The loop's thread.
  class EndOfTurn {
   public:
    EndOfTurn(EventLoop& loop, std::function<void()> callback) : loop_(loop), callback_(std::move(callback)) {}
    ~EndOfTurn();
    EndOfTurn(const EndOfTurn&) = delete;
    EndOfTurn& operator=(const EndOfTurn&) = delete;
    void Request();

   private:
    friend class EventLoop;
    EventLoop& loop_;
    const std::function<void()> callback_;
    bool requested_ = false;
  };

  // Until Stop(). An error of epoll itself ends it.
  absl::Status Run();
  void Stop();  // Any thread.

 private:
  struct Timer {
    int64_t due_ns;
    int64_t period_ns;  // 0: once
    std::function<void()> callback;
  };
  struct Watch {
    uint32_t serial;  // tells a stale event of an earlier fd of the same number
    std::shared_ptr<std::function<void(uint32_t)>> callback;
  };
  EventLoop() = default;
  int NextTimeoutMs() const;
  void RunTimers();
  void RunPosted();
  void RunRequested();
  void Wake();

  UniqueFd epoll_;
  UniqueFd wake_;
  // Callbacks are shared so that one that removes itself stays alive until it returns.
  std::map<int, Watch> fds_;
  uint32_t last_serial_ = 0;
  std::map<int, UniqueFd> signals_;
  std::map<TimerId, Timer> timers_;
  TimerId next_timer_ = 1;
  std::deque<EndOfTurn*> requested_;
  std::atomic<bool> stop_{false};
  absl::Mutex mutex_;
  std::vector<std::function<void()>> posted_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice

#endif  // USERSPACE_BASE_EVENT_LOOP_H_
