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
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/control/registry/jwt.h"

namespace lattice::control {

inline constexpr int64_t kNoGeneration = std::numeric_limits<int64_t>::max();
struct Revocation {
  int64_t least_generation = 0;  // whose tokens are good; kNoGeneration: none, the agent is revoked
  int64_t last_generation = 0;   // of a revoked agent
  absl::Time revoked_at = absl::InfinitePast();
};
// By the agent's name. The tokens of those that are not in it are all good.
using Revocations = absl::flat_hash_map<std::string, Revocation>;
// What a revoked agent wrote before may come in for so long after: it was in a spool or in the stream. Who has taken
// the token can date back what he makes up, in this time; his records then lie in numbers, or under a hash, that the
// agent's own heads and records contradict.
inline constexpr absl::Duration kRevokedGrace = absl::Hours(24);

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
  // The same for who wrote a record at `written` that the stream has since `received`; a revoked agent may have done so
  // until its revocation, see kRevokedGrace. PermissionDenied: not this one.
  absl::StatusOr<std::shared_ptr<const Claims>> VerifyWriter(absl::string_view token, absl::Time written,
                                                             absl::Time received) ABSL_LOCKS_EXCLUDED(mutex_);
  // VerifyAgent() for admin and viewer.
  absl::StatusOr<std::shared_ptr<const Claims>> VerifyUser(absl::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);

  void SetRevocations(Revocations revocations) ABSL_LOCKS_EXCLUDED(mutex_);
  size_t remembered() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  using ClaimsPtr = std::shared_ptr<const Claims>;
  absl::StatusOr<ClaimsPtr> VerifyAgentsText(absl::string_view token) ABSL_LOCKS_EXCLUDED(mutex_);
  // What ends the claims; nothing does: least_generation 0.
  Revocation RevocationOf(const Claims& claims) const ABSL_LOCKS_EXCLUDED(mutex_);
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
