#include "userspace/sql/migrate.h"

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::sql {
namespace {

// Any number, the same in every program that migrates: "lattice" in ASCII.
constexpr char kAdvisoryLock[] = "SELECT pg_advisory_xact_lock(30520780389147493)";

// One at a time through here. In SQLite, BEGIN IMMEDIATE has done it.
absl::Status LockSchema(Connection& connection) {
  if (connection.engine() == Engine::kPostgresql) LATTICE_RETURN_IF_ERROR(connection.ExecuteScript(kAdvisoryLock));
  return connection.ExecuteScript(
      "CREATE TABLE IF NOT EXISTS la_schema (module VARCHAR(64) NOT NULL PRIMARY KEY, version BIGINT NOT NULL)");
}

// One step, or none: the version after it.
absl::StatusOr<int64_t> Step(Connection& connection, absl::string_view module, absl::Span<const Migration> migrations) {
  LATTICE_ASSIGN_OR_RETURN(Transaction transaction, Transaction::Begin(connection, Access::kWrite));
  LATTICE_RETURN_IF_ERROR(LockSchema(connection));
  LATTICE_ASSIGN_OR_RETURN(const int64_t version, SchemaVersion(connection, module));
  if (version > static_cast<int64_t>(migrations.size())) {
    return absl::FailedPreconditionError(
        absl::StrCat("the tables of ", module, " have version ", version, ", this program knows ", migrations.size(),
                     ": they were made by a newer one; install that, or use another database"));
  }
  if (version == static_cast<int64_t>(migrations.size())) {
    LATTICE_RETURN_IF_ERROR(transaction.Commit());
    return version;
  }
  const Migration& next = migrations[static_cast<size_t>(version)];
  const bool same = connection.engine() == Engine::kSqlite || next.postgresql.empty();
  LATTICE_RETURN_IF_ERROR(Annotate(connection.ExecuteScript(same ? next.sqlite : next.postgresql),
                                   absl::StrCat("migration ", version + 1, " of ", module)));
  LATTICE_RETURN_IF_ERROR(connection
                              .Execute("INSERT INTO la_schema (module, version) VALUES (?, ?) "
                                       "ON CONFLICT (module) DO UPDATE SET version = excluded.version",
                                       {module, version + 1})
                              .status());
  LATTICE_RETURN_IF_ERROR(transaction.Commit());
  return version + 1;
}

}  // namespace

absl::StatusOr<int64_t> SchemaVersion(Connection& connection, absl::string_view module) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Row> rows,
                           connection.Query("SELECT version FROM la_schema WHERE module = ?", {module}));
  return rows.empty() ? 0 : rows[0][0].integer();
}

absl::Status Migrate(Connection& connection, absl::string_view module, absl::Span<const Migration> migrations) {
  int64_t version = -1;
  while (version < static_cast<int64_t>(migrations.size())) {
    LATTICE_ASSIGN_OR_RETURN(version, Step(connection, module, migrations));
  }
  return absl::OkStatus();
}

}  // namespace lattice::sql
