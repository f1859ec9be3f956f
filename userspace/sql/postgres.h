// A Connection to a PostgreSQL server.
#ifndef USERSPACE_SQL_POSTGRES_H_
#define USERSPACE_SQL_POSTGRES_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/sql/connection.h"
#include "userspace/sql/database.h"

namespace lattice::sql {

// `name` stands for the URL in errors.
absl::StatusOr<std::unique_ptr<Connection>> ConnectPostgres(const std::string& url, const std::string& name,
                                                            const Options& options);

// `statement` with its `?` as $1, $2, …; those in quotes stay.
std::string NumberParameters(absl::string_view statement);

// The URL without its password, wherever it stands.
std::string WithoutPassword(const std::string& url);

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_POSTGRES_H_
