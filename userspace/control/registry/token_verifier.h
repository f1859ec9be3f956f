// Verifies the tokens of agents and users at message rate: what was verified once is looked up.
//
// Promise: a token is accepted only while it is valid and its agent's enrolment is the one it was made for; a
// revocation counts from the next SetRevocations() on, also for remembered tokens. The memory is bounded.
// Any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_TOKEN_VERIFIER_H_
#define USERSPACE_CONTROL_REGISTRY_TOKEN_VERIFIER_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "userspace/base/clock.h"
#include "userspace/control/registry/jwt.h"

namespace lattice::control {

// Agent name -> the least generation whose tokens are good; kNoGeneration: none. Agents that are not in it: any.
using Revocations = absl::flat_hash_map<std::string, int64_t>;
inline constexpr int64_t kNoGeneration = std::numeric_limits<int64_t>::max();

class TokenVerifier {
 public:
  struct Options {
    size_t max_remembered = 32768;  // tokens, of at most kMaxJwtBytes each
  };
  // `clock` must outlive this.
  TokenVerifier(std::string secret, const Clock& clock) : TokenVerifier(std::move(secret), clock, Options()) {}
  TokenVerifier(std::string secret, const Clock& clock, Options options)
      : secret_(std::move(secret)), clock_(clock), options_(options) {}

  // Unauthenticated with the reason: not good, of a user, or its agent is revoked.
  absl::StatusOr<std::shared_ptr<const Claims>> VerifyAgent(absl::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for admin and viewer.
  absl::StatusOr<std::shared_ptr<const Claims>> VerifyUser(absl::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);

  void SetRevocations(Revocations revocations) ABSL_LOCKS_EXCLUDED(mutex_);
  size_t remembered() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ClaimsPtr = std::shared_ptr<const Claims>;
  absl::StatusOr<ClaimsPtr> Verify(absl::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);
  ClaimsPtr Recall(absl::string_view token) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(absl::string_view token, ClaimsPtr claims) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string secret_;
  const Clock& clock_;
  const Options options_;
  mutable absl::Mutex mutex_;
  // Two halves: what is used moves to the young one; when that is full, the old one is forgotten.
  absl::flat_hash_map<std::string, ClaimsPtr> young_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, ClaimsPtr> old_ ABSL_GUARDED_BY(mutex_);
  Revocations revocations_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_TOKEN_VERIFIER_H_
