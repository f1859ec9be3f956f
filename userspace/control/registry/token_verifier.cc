#include "userspace/control/registry/token_verifier.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::control {

TokenVerifier::ClaimsPtr TokenVerifier::Recall(absl::string_view token) {
  if (const auto found = young_.find(token); found != young_.end()) return found->second;
  const auto found = old_.find(token);
  if (found == old_.end()) return nullptr;
  ClaimsPtr claims = found->second;
  old_.erase(found);
  Remember(token, claims);
  return claims;
}

void TokenVerifier::Remember(absl::string_view token, ClaimsPtr claims) {
  if (young_.size() >= options_.max_remembered / 2) old_ = std::exchange(young_, {});
  young_[std::string(token)] = std::move(claims);
}

absl::StatusOr<TokenVerifier::ClaimsPtr> TokenVerifier::Verify(absl::string_view token) {
  const absl::Time now = clock_.Now();
  {
    absl::MutexLock lock(&mutex_);
    if (ClaimsPtr claims = Recall(token)) {
      if (now >= claims->expires_at) return absl::UnauthenticatedError("token is expired");
      return claims;
    }
  }
  LATTICE_ASSIGN_OR_RETURN(Claims verified, VerifyJwt(secret_, token, now));
  auto claims = std::make_shared<const Claims>(std::move(verified));
  absl::MutexLock lock(&mutex_);
  Remember(token, claims);
  return claims;
}

absl::StatusOr<TokenVerifier::ClaimsPtr> TokenVerifier::VerifyAgentsText(absl::string_view token) {
  LATTICE_ASSIGN_OR_RETURN(ClaimsPtr claims, Verify(token));
  if (claims->issuer != kAgentIssuer || claims->subject.empty()) {
    return absl::UnauthenticatedError("token is not an agent's");
  }
  return claims;
}

Revocation TokenVerifier::RevocationOf(const Claims& claims) const {
  absl::MutexLock lock(&mutex_);
  const auto found = revocations_.find(claims.subject);
  if (found == revocations_.end() || claims.generation >= found->second.least_generation) return {};
  return found->second;
}

absl::StatusOr<TokenVerifier::ClaimsPtr> TokenVerifier::VerifyAgent(absl::string_view token) {
  LATTICE_ASSIGN_OR_RETURN(ClaimsPtr claims, VerifyAgentsText(token));
  const Revocation ended = RevocationOf(*claims);
  if (ended.least_generation == 0) return claims;
  return absl::UnauthenticatedError(ended.least_generation == kNoGeneration
                                        ? "token is of a revoked agent"
                                        : "token is of an earlier enrollment of its agent");
}

absl::StatusOr<TokenVerifier::ClaimsPtr> TokenVerifier::VerifyWriter(absl::string_view token, absl::Time written,
                                                                     absl::Time received) {
  LATTICE_ASSIGN_OR_RETURN(ClaimsPtr claims, VerifyAgentsText(token));
  const Revocation ended = RevocationOf(*claims);
  if (ended.least_generation == 0) return claims;
  if (ended.least_generation != kNoGeneration || claims->generation < ended.last_generation) {
    return absl::UnauthenticatedError("token is of an earlier enrollment of its agent");
  }
  if (written > ended.revoked_at) return absl::PermissionDeniedError("written after the agent was revoked");
  if (received > ended.revoked_at + kRevokedGrace) {
    return absl::PermissionDeniedError(
        absl::StrCat("came more than ", absl::FormatDuration(kRevokedGrace), " after the agent was revoked"));
  }
  return claims;
}

absl::StatusOr<TokenVerifier::ClaimsPtr> TokenVerifier::VerifyUser(absl::string_view token) {
  LATTICE_ASSIGN_OR_RETURN(ClaimsPtr claims, Verify(token));
  const bool known_role = claims->role == "admin" || claims->role == "viewer";
  if (claims->issuer != kUserIssuer || claims->subject.empty() || !known_role) {
    return absl::UnauthenticatedError("token is not an administrator's or viewer's");
  }
  return claims;
}

void TokenVerifier::SetRevocations(Revocations revocations) {
  absl::MutexLock lock(&mutex_);
  revocations_ = std::move(revocations);
}

size_t TokenVerifier::remembered() const {
  absl::MutexLock lock(&mutex_);
  return young_.size() + old_.size();
}

}  // namespace lattice::control
