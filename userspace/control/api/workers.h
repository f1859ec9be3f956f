// A few threads for calls that block: the event loop hands a request to one and goes on.
//
// Promise: what was taken is run, also during the end; more than `max_waiting` is refused. Any thread.
#ifndef USERSPACE_CONTROL_API_WORKERS_H_
#define USERSPACE_CONTROL_API_WORKERS_H_

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lattice::control {

class Workers {
 public:
  explicit Workers(int threads, size_t max_waiting = 256);
  ~Workers();  // runs what waits
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // False: too much waits.
  [[nodiscard]] bool Run(std::function<void()> work);

 private:
  void Work();

  const size_t max_waiting_;
  absl::Mutex mutex_;
  std::deque<std::function<void()>> waiting_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_WORKERS_H_
