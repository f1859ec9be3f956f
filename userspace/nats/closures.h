// What the library's callbacks get as their closure. The library may call back after the object it was told of is
// gone, so the closure is a number, looked up in a table of what still exists. Private to this module; any thread.
#ifndef USERSPACE_NATS_CLOSURES_H_
#define USERSPACE_NATS_CLOSURES_H_

#include <cstdint>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace lattice::nats {

template <typename T>
class Closures {
 public:
  static Closures& Get() {
    static Closures* const closures = new Closures;  // The library's threads run until the process ends.
    return *closures;
  }

  // Numbers grow and are never used again; none is 0.
  uint64_t Register(std::weak_ptr<T> object) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    objects_[++last_] = std::move(object);
    return last_;
  }
  void Unregister(uint64_t number) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    objects_.erase(number);
  }
  // Null: it is gone.
  std::shared_ptr<T> Find(const void* closure) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto it = objects_.find(reinterpret_cast<uintptr_t>(closure));
    return it == objects_.end() ? nullptr : it->second.lock();
  }
  static void* ToClosure(uint64_t number) { return reinterpret_cast<void*>(static_cast<uintptr_t>(number)); }

 private:
  absl::Mutex mutex_;
  std::map<uint64_t, std::weak_ptr<T>> objects_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_CLOSURES_H_
