// Bounds the login attempts of each client address: a token bucket. Sans-I/O: the caller gives the time.
// Any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_LOGIN_LIMITER_H_
#define USERSPACE_CONTROL_REGISTRY_LOGIN_LIMITER_H_

#include <cstddef>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace lattice::control {

class LoginLimiter {
 public:
  struct Options {
    double burst = 10;
    absl::Duration interval = absl::Seconds(6);  // after the burst, one attempt in this time
    size_t max_addresses = 4096;                 // more at once share one bucket
  };
  LoginLimiter() : LoginLimiter(Options()) {}
  explicit LoginLimiter(Options options) : options_(options) {}

  // Zero: go on, and it is counted until GiveBack(). Otherwise how long to wait. `peer` is "192.0.2.1:4711" or
  // "[2001:db8::1]:4711": its port does not count, and of IPv6 the /64.
  absl::Duration Admit(absl::string_view peer, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

  // The attempt that was let in was a good one: those are nobody's guesses.
  void GiveBack(absl::string_view peer, absl::Time now) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Bucket {
    double level;
    absl::Time filled;
  };
  double LevelAt(const Bucket& bucket, absl::Time now) const;
  // The bucket of `key`; forgets full ones when there are too many.
  Bucket& Find(const std::string& key, absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Bucket> buckets_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_LOGIN_LIMITER_H_
