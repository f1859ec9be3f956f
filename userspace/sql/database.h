// Where the data is: an address that connections are made to, and a pool of them.
//
//   LATTICE_ASSIGN_OR_RETURN(std::unique_ptr<sql::Database> database,
//   sql::Database::Open("sqlite:///var/lib/lattice/lattice.db")); LATTICE_ASSIGN_OR_RETURN(sql::Lease connection,
//   database->Borrow(deadline)); connection->Query(…);
//
// "sqlite:///PATH" is a file: SQLite's WAL mode, synchronous=FULL unless Options say otherwise, file mode 0600. What a
// committed transaction wrote survives kill -9 of the process and, with FULL, a power failure.
// "postgresql://…" is the URL of libpq. Any thread.
#ifndef USERSPACE_SQL_DATABASE_H_
#define USERSPACE_SQL_DATABASE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/sql/connection.h"

namespace lattice::sql {

struct Options {
  absl::Duration busy_timeout = absl::Seconds(10);    // SQLite: how long to wait for another writer
  absl::Duration connect_timeout = absl::Seconds(5);  // PostgreSQL, unless the URL has connect_timeout
  bool sync_full = true;                              // SQLite: false loses the last commits at a power failure
  size_t max_connections = 8;                         // of the pool
  int64_t sqlite_max_pages = 0;                       // a bound of the file's size; 0: none
};

class Database;

// A connection of the pool, given back at the end of the scope.
class Lease {
 public:
  Lease(Database& database, std::unique_ptr<Connection> connection)
      : database_(&database), connection_(std::move(connection)) {}
  Lease(Lease&&) noexcept = default;
  Lease& operator=(Lease&&) = delete;
  ~Lease();
  Connection& operator*() const { return *connection_; }
  Connection* operator->() const { return connection_.get(); }

 private:
  Database* database_;
  std::unique_ptr<Connection> connection_;
};

class Database {
 public:
  // InvalidArgument: no such kind of address. Nothing is opened yet: a database that is down now may be up later.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& url, const Options& options = {});

  // A new connection of the caller's own.
  absl::StatusOr<std::unique_ptr<Connection>> Connect() const;
  // One of the pool. DeadlineExceeded: all are out until then. The Database must outlive it.
  absl::StatusOr<Lease> Borrow(absl::Time deadline = absl::InfiniteFuture());

  Engine engine() const { return engine_; }
  // For messages: without the password.
  const std::string& name() const { return name_; }

 private:
  friend class Lease;
  Database(Engine engine, std::string address, std::string name, const Options& options)
      : engine_(engine), address_(std::move(address)), name_(std::move(name)), options_(options) {}
  void GiveBack(std::unique_ptr<Connection> connection);

  const Engine engine_;
  const std::string address_;  // the path or the URL
  const std::string name_;
  const Options options_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_ ABSL_GUARDED_BY(mutex_);
  size_t lent_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace lattice::sql

#endif  // USERSPACE_SQL_DATABASE_H_
