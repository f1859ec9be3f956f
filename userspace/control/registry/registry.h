// The control plane's memory of who is who: enrolment tokens, agents with their overlay addresses, and each agent's
// policy, in the tables la_settings, la_enrollment_tokens, la_agents and la_agent_policies.
//
// Promises: an enrolment token is redeemed once, whichever replicas race for it; an address, a name and a key belong
// to one agent; an agent keeps its address as long as the overlay has room; a private key is never asked for nor
// stored, of enrolment tokens only a hash is. Each change raises the configuration's version, in the order in which
// changes are committed.
//
// Every call blocks on the database: not for the event loop's thread. Any thread, several at once; several replicas.
// Unavailable: the database is down or locked, try again.
#ifndef USERSPACE_CONTROL_REGISTRY_REGISTRY_H_
#define USERSPACE_CONTROL_REGISTRY_REGISTRY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/ip.h"
#include "userspace/control/registry/records.h"
#include "userspace/control/registry/token_verifier.h"
#include "userspace/sql/database.h"

namespace lattice::control {

struct RegistryOptions {
  // The overlay: IPv4, /8 to /30. Not given out: its first and last address and the first host, which is kept for
  // the control plane itself.
  std::string overlay = "10.42.0.0/16";
  absl::Duration agent_token_ttl = absl::Hours(24 * 365);
  // A new agent is "pending", without an address, until ApproveAgent().
  bool approve_by_hand = false;
  // The agents' tokens hold the password of their NATS user.
  bool nats_users = false;
  absl::Duration statement_timeout = absl::Seconds(10);
};

// What changed. `agent` empty: something that every agent's configuration holds.
struct Change {
  std::string agent;
  int64_t version = 0;
};

class Registry {
 public:
  // Makes or upgrades the tables and, once for all replicas, the secret of tokens. InvalidArgument: the overlay.
  // `database` and `clock` must outlive it.
  static absl::StatusOr<std::unique_ptr<Registry>> Open(sql::Database& database, const Clock& clock,
                                                        const RegistryOptions& options = {});

  // Knows this registry's secret, and revocations as of the last RefreshRevocations().
  TokenVerifier& verifier() { return *verifier_; }
  // To be called every few seconds: tells the verifier what other replicas revoked.
  absl::Status RefreshRevocations();

  // Called after each committed change, on the thread that made it. Set before other threads come.
  void SetOnChange(std::function<void(const Change&)> on_change) { on_change_ = std::move(on_change); }

  // Tokens for people. InvalidArgument: the name, the role, or a time under a minute or over 10 years.
  absl::StatusOr<std::string> IssueUserToken(absl::string_view user, absl::string_view role, absl::Duration ttl);

  // Enrolment tokens.
  absl::StatusOr<IssuedToken> CreateEnrollmentToken(const TokenRequest& request);
  absl::StatusOr<std::vector<EnrollmentToken>> ListEnrollmentTokens();  // newest first, at most 1,000
  // NotFound: no such id. One that was used is no longer of use to anybody: OK.
  absl::Status RevokeEnrollmentToken(absl::string_view id);

  // Redeems an enrolment token. The same token, name and key again within two minutes give the same answer, for an
  // agent whose answer was lost. A name that is taken is given out again only to a token bound to that name.
  // InvalidArgument with upstream's texts: "invalid enrollment token", "enrollment token already used", "enrollment
  // token expired"; AlreadyExists: the name or the key is another's; ResourceExhausted: no free address.
  absl::StatusOr<Enrolled> Enroll(const Enrollment& enrollment);

  // NotFound: nobody has that name.
  absl::StatusOr<Agent> FindAgent(absl::string_view name);
  absl::StatusOr<std::vector<Agent>> ListAgents();
  // Of those that are not revoked. The password is new with each enrolment that ends the tokens of those before.
  absl::StatusOr<std::vector<NatsUser>> NatsUsers();
  // Its tokens and its place among the peers end at once here, in other replicas at their next refresh.
  absl::Status RevokeAgent(absl::string_view name);
  absl::Status ApproveAgent(absl::string_view name);
  // Updates last_heartbeat of the agent; `endpoint`, if not empty and another, is a change for its peers.
  absl::Status Heartbeat(absl::string_view name, absl::string_view endpoint);
  // Upstream's heartbeat has no token: it names the agent by its appId and changes nothing else.
  absl::Status HeartbeatOfApp(absl::string_view app_id);

  // Everything that the agent is to know. PermissionDenied: it is revoked.
  absl::StatusOr<NetMap> GetNetMap(absl::string_view name);

  // The rules as they were set; version 0 without rules when none ever were: deny all.
  absl::StatusOr<AgentPolicy> GetPolicy(absl::string_view agent);
  // Each rule is a line of a policy file (userspace/policy): "10.42.0.10/32", "deny 0.0.0.0/0:22/tcp". A policy may be
  // set before its agent enrols. InvalidArgument names the rule's place and what was expected; FailedPrecondition: it
  // is no longer at the version `made_from`.
  absl::StatusOr<AgentPolicy> SetPolicy(absl::string_view agent, const std::vector<std::string>& rules,
                                        absl::string_view by, std::optional<int64_t> made_from = std::nullopt);

  const IpPrefix& overlay() const { return overlay_; }

 private:
  using Body = std::function<absl::Status(sql::Connection&, int64_t version)>;

  Registry(sql::Database& database, const Clock& clock, const RegistryOptions& options, IpPrefix overlay)
      : database_(database), clock_(clock), options_(options), overlay_(overlay) {}
  absl::Status Prepare();

  absl::Time Deadline() const { return absl::Now() + options_.statement_timeout; }
  int64_t NowNs() const { return absl::ToUnixNanos(clock_.Now()); }

  // Runs `body` in a transaction that holds the version's row, so that the registry's writers come one after the
  // other over all replicas; again when the engine asks for it. `version` is the one it makes.
  absl::StatusOr<int64_t> Write(const Body& body);
  std::string NatsPassword(absl::string_view name, int64_t generation) const;
  void Announce(absl::string_view agent, int64_t version) const;

  absl::StatusOr<EnrollmentToken> CheckToken(sql::Connection& connection, const Enrollment& enrollment, bool* replay);
  absl::Status TakeName(sql::Connection& connection, const Enrollment& enrollment, const EnrollmentToken& token,
                        bool replay, Agent* agent, bool* exists);
  absl::Status Redeem(sql::Connection& connection, Enrollment enrollment, Agent* agent);
  absl::Status GiveAddress(sql::Connection& connection, Agent* agent);
  absl::StatusOr<uint32_t> FreeAddress(sql::Connection& connection);
  absl::Status Store(sql::Connection& connection, const Agent& agent, bool exists);
  absl::StatusOr<std::shared_ptr<const std::vector<Agent>>> ActiveAgents(sql::Connection& connection, int64_t version)
      ABSL_LOCKS_EXCLUDED(mutex_);

  sql::Database& database_;
  const Clock& clock_;
  const RegistryOptions options_;
  const IpPrefix overlay_;
  std::string secret_;
  std::unique_ptr<TokenVerifier> verifier_;
  std::function<void(const Change&)> on_change_;

  absl::Mutex mutex_;
  // The active agents as of a version: every agent asks for them every few seconds.
  int64_t active_version_ ABSL_GUARDED_BY(mutex_) = -1;
  std::shared_ptr<const std::vector<Agent>> active_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_REGISTRY_H_
