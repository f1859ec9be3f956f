// Numbered changes of a schema, kept per module in la_schema(module, version).
//
// Promise: several processes may start at once, each change is made once; a change and its number are one
// transaction, so a crash leaves the schema before it or after it. Any thread.
#ifndef USERSPACE_SQL_MIGRATE_H_
#define USERSPACE_SQL_MIGRATE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "userspace/sql/connection.h"

namespace lattice::sql {

struct Migration {
  std::string sqlite;
  std::string postgresql;  // empty: the same
};

// Brings `module` to version migrations.size(); the first migration makes version 1. Migrations are only ever added
// at the end. FailedPrecondition: the database is newer than this program.
absl::Status Migrate(Connection& connection, absl::string_view module, absl::Span<const Migration> migrations);

// 0: the module has no tables yet.
absl::StatusOr<int64_t> SchemaVersion(Connection& connection, absl::string_view module);

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_MIGRATE_H_
