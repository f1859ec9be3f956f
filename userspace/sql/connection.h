// One session with a database, and its transaction.
//
//   auto rows = connection.Query("SELECT name FROM la_agents WHERE port = ?", {443}, deadline);
//
//   LATTICE_ASSIGN_OR_RETURN(sql::Transaction transaction, sql::Transaction::Begin(connection, sql::Access::kWrite));
//   LATTICE_RETURN_IF_ERROR(connection.Execute("DELETE FROM la_agents WHERE name = ?", {name}).status());
//   return transaction.Commit();
//
// Parameters are `?` in both engines, values never become part of a statement's text. Prepared statements are
// kept, so their texts should be few. Errors: Unavailable, the database is locked, down, full or the connection is
// lost (the text says which); AlreadyExists, a unique constraint; Aborted, the engine gave up this transaction
// for another one, begin it again; DeadlineExceeded, the call was ended at its deadline; Internal, anything else. No
// error holds a password or a parameter. Nothing throws. One thread at a time.
#ifndef USERSPACE_SQL_CONNECTION_H_
#define USERSPACE_SQL_CONNECTION_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "userspace/sql/value.h"

namespace lattice::sql {

enum class Engine { kSqlite, kPostgresql };

// In SQLite a transaction that will write says so first: a later change of mind can fail.
enum class Access { kRead, kWrite };

class Connection {
 public:
  virtual ~Connection() = default;
  virtual Engine engine() const = 0;

  // Its rows. A PostgreSQL connection that was lost is opened again by the first call after, never within a
  // transaction: there every call fails with Unavailable until its end.
  absl::StatusOr<std::vector<Row>> Query(absl::string_view statement, absl::Span<const Param> params,
                                         absl::Time deadline = absl::InfiniteFuture()) {
    return DoQuery(statement, params, deadline);
  }
  absl::StatusOr<std::vector<Row>> Query(absl::string_view statement, std::initializer_list<Param> params = {},
                                         absl::Time deadline = absl::InfiniteFuture()) {
    return DoQuery(statement, absl::MakeConstSpan(params.begin(), params.size()), deadline);
  }

  // How many rows it changed.
  absl::StatusOr<int64_t> Execute(absl::string_view statement, absl::Span<const Param> params,
                                  absl::Time deadline = absl::InfiniteFuture()) {
    return DoExecute(statement, params, deadline);
  }
  absl::StatusOr<int64_t> Execute(absl::string_view statement, std::initializer_list<Param> params = {},
                                  absl::Time deadline = absl::InfiniteFuture()) {
    return DoExecute(statement, absl::MakeConstSpan(params.begin(), params.size()), deadline);
  }

  // The statement once for each `width` of `params`, all on their way before the first answer is waited for; how many
  // rows each changed. Inside a transaction of the caller: an error may come after some of them. `width` > 0.
  virtual absl::StatusOr<std::vector<int64_t>> ExecuteMany(absl::string_view statement, absl::Span<const Param> params,
                                                           size_t width,
                                                           absl::Time deadline = absl::InfiniteFuture()) = 0;

  // Statements separated by semicolons, without parameters: for schemas.
  virtual absl::Status ExecuteScript(absl::string_view script, absl::Time deadline = absl::InfiniteFuture()) = 0;

  // False: this session is over, and so is the transaction it was in; PostgreSQL only.
  virtual bool usable() const { return true; }

  // For Transaction.
  virtual absl::Status Begin(Access access, absl::Time deadline) = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

 private:
  virtual absl::StatusOr<int64_t> DoExecute(absl::string_view statement, absl::Span<const Param> params,
                                            absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<Row>> DoQuery(absl::string_view statement, absl::Span<const Param> params,
                                                   absl::Time deadline) = 0;
};

// Rolls back at the end of the scope unless it was committed. Not nested.
class Transaction {
 public:
  // `connection` must outlive it.
  static absl::StatusOr<Transaction> Begin(Connection& connection, Access access,
                                           absl::Time deadline = absl::InfiniteFuture());
  Transaction(Transaction&& other) noexcept : connection_(std::exchange(other.connection_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction() {
    if (connection_ != nullptr) connection_->Rollback();
  }

  // An error means that nothing was stored; Unavailable from PostgreSQL can also mean that its answer was lost on the
  // way, so what follows must be safe to repeat.
  absl::Status Commit();

 private:
  explicit Transaction(Connection& connection) : connection_(&connection) {}
  Connection* connection_;
};

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_CONNECTION_H_
