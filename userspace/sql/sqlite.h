// A Connection to an SQLite file.
#ifndef USERSPACE_SQL_SQLITE_H_
#define USERSPACE_SQL_SQLITE_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "userspace/sql/connection.h"
#include "userspace/sql/database.h"

namespace lattice::sql {

// Makes the file (mode 0600) if there is none; its folder must exist.
absl::StatusOr<std::unique_ptr<Connection>> ConnectSqlite(const std::string& path, const Options& options);

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_SQLITE_H_
