// Where the two engines write the same thing differently. Pure functions, any thread.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_DIALECT_H_
#define USERSPACE_CONTROL_AUDIT_STORE_DIALECT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

// Texts as one parameter: a JSON array.
std::string JsonList(const std::vector<absl::string_view>& texts);
// The table with the column `value` that a JsonList parameter is.
std::string ListTable(sql::Engine engine);

// The sum of an integer column as an integer, 0 without rows; at most 2^63 - 1.
std::string Sum(sql::Engine engine, absl::string_view expression);

// In a grouped SELECT that has max(last_ts) and no other max or min: `column` of the row with the largest last_ts.
std::string OfNewest(sql::Engine engine, absl::string_view column);

// A query whose parameter is a JsonList: of each of its texts, `columns` of the row with the largest `largest` among
// those whose `key` it is and that meet `condition`. Texts without one have no row.
std::string LargestPerValue(sql::Engine engine, absl::string_view table, absl::string_view columns,
                            absl::string_view key, absl::string_view condition, absl::string_view largest);

// A DELETE whose rows other transactions have locked leaves those out rather than wait: it locks in no order.
absl::string_view SkipLocked(sql::Engine engine);

// The FROM of a query in SQLite that must use `index`. PostgreSQL decides by its statistics.
std::string FromIndex(sql::Engine engine, absl::string_view table, absl::string_view index);

// The key of a PostgreSQL advisory lock: a hash that is the same in every process.
int64_t LockKey(absl::string_view name);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_DIALECT_H_
