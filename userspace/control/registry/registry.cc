// Opening, the version, and what is about no single agent. registry_enroll.cc enrols, registry_agents.cc has the life
// of an agent after that, registry_tokens.cc the enrolment tokens, registry_policies.cc the policies.
#include "userspace/control/registry/registry.h"

#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/schema.h"
#include "userspace/sql/migrate.h"

namespace lattice::control {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr int kMaxRepeats = 20;
constexpr absl::Duration kMaxUserTtl = absl::Hours(24 * 3650);

absl::StatusOr<IpPrefix> ParseOverlay(const std::string& text) {
  const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(text);
  if (!prefix.ok() || !prefix->is_v4() || prefix->length() < 8 || prefix->length() > 30) {
    return absl::InvalidArgumentError(
        absl::StrCat("overlay \"", text, "\": expected an IPv4 network of /8 to /30, for example 10.42.0.0/16"));
  }
  return *prefix;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Registry>> Registry::Open(sql::Database& database, const Clock& clock,
                                                         const RegistryOptions& options) {
  LATTICE_ASSIGN_OR_RETURN(const IpPrefix overlay, ParseOverlay(options.overlay));
  auto registry = absl::WrapUnique(new Registry(database, clock, options, overlay));
  LATTICE_RETURN_IF_ERROR(Annotate(registry->Prepare(), "opening the registry"));
  return registry;
}

absl::Status Registry::Prepare() {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_RETURN_IF_ERROR(sql::Migrate(*connection, kRegistrySchema, RegistryMigrations()));
  // Replicas that start at once all try; one secret stays, and all read that.
  LATTICE_RETURN_IF_ERROR(
      connection
          ->Execute("INSERT INTO la_settings (key, value) VALUES ('jwt_secret', ?) ON CONFLICT (key) DO NOTHING",
                    {Base64(RandomBytes(kSecretBytes))}, Deadline())
          .status());
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection->Query("SELECT value FROM la_settings WHERE key = 'jwt_secret'", {}, Deadline()));
  std::optional<std::string> secret;
  if (!rows.empty()) secret = FromBase64(rows[0][0].text());
  if (!secret.has_value() || secret->size() != kSecretBytes) {
    return absl::DataLossError(
        "la_settings has a damaged jwt_secret; delete that row to make a new one, which ends all tokens");
  }
  secret_ = *std::move(secret);
  verifier_ = std::make_unique<TokenVerifier>(secret_, clock_);
  return RefreshRevocations();
}

absl::Status Registry::RefreshRevocations() {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection->Query(
          "SELECT name, generation, status, revoked_ns FROM la_agents WHERE generation > 1 OR status = 'revoked'", {},
          Deadline()));
  Revocations revocations;
  for (const sql::Row& row : rows) {
    const bool revoked = row[2].text() == "revoked";
    revocations[row[0].text()] = {.least_generation = revoked ? kNoGeneration : row[1].integer(),
                                  .last_generation = row[1].integer(),
                                  .revoked_at = absl::FromUnixNanos(row[3].integer())};
  }
  verifier_->SetRevocations(std::move(revocations));
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Registry::Write(const Body& body) {
  absl::Status status;
  for (int i = 0; i < kMaxRepeats; ++i) {
    int64_t version = 0;
    status = [&]() -> absl::Status {
      LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
      LATTICE_ASSIGN_OR_RETURN(sql::Transaction transaction,
                               sql::Transaction::Begin(*connection, sql::Access::kWrite, Deadline()));
      LATTICE_RETURN_IF_ERROR(connection
                                  ->Execute("UPDATE la_settings SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) "
                                            "WHERE key = 'config_version'",
                                            {}, Deadline())
                                  .status());
      LATTICE_ASSIGN_OR_RETURN(
          const std::vector<sql::Row> rows,
          connection->Query("SELECT value FROM la_settings WHERE key = 'config_version'", {}, Deadline()));
      if (rows.empty() || !absl::SimpleAtoi(rows[0][0].text(), &version)) {
        return absl::DataLossError("la_settings has no config_version");
      }
      LATTICE_RETURN_IF_ERROR(body(*connection, version));
      return transaction.Commit();
    }();
    if (status.ok()) return version;
    if (!absl::IsAborted(status)) return status;
  }
  return absl::UnavailableError(status.message());
}

void Registry::Announce(absl::string_view agent, int64_t version) const {
  if (on_change_) on_change_({std::string(agent), version});
}

absl::StatusOr<std::string> Registry::IssueUserToken(absl::string_view user, absl::string_view role,
                                                     absl::Duration ttl) {
  LATTICE_RETURN_IF_ERROR(CheckName("name", user));
  if (role != "admin" && role != "viewer") {
    return absl::InvalidArgumentError(absl::StrCat("role \"", role, "\": expected admin or viewer"));
  }
  if (ttl < absl::Minutes(1) || ttl > kMaxUserTtl) {
    return absl::InvalidArgumentError("ttlSeconds: expected 60 to 315360000");
  }
  const absl::Time now = clock_.Now();
  Claims claims{.issuer = kUserIssuer, .subject = std::string(user), .issued_at = now, .expires_at = now + ttl};
  claims.role = std::string(role);
  return SignJwt(secret_, claims);
}

}  // namespace lattice::control
