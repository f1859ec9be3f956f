#include "userspace/sql/sqlite.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

namespace lattice::sql {
namespace {

// Instructions of SQLite's machine between two looks at the clock: well below a millisecond.
constexpr int kInstructionsPerCheck = 2'000;
// More statement texts than a program has; a caller that makes them up forever does not fill the memory.
constexpr size_t kMaxStatements = 256;

class Sqlite : public Connection {
 public:
  Sqlite(std::string path, const Options& options) : path_(std::move(path)), options_(options) {}
  ~Sqlite() override {
    Forget();
    sqlite3_close_v2(db_);
  }

  absl::Status Open();
  Engine engine() const override { return Engine::kSqlite; }
  absl::StatusOr<std::vector<int64_t>> ExecuteMany(absl::string_view statement, absl::Span<const Param> params,
                                                   size_t width, absl::Time deadline) override;
  absl::Status ExecuteScript(absl::string_view script, absl::Time deadline) override;
  absl::Status Begin(Access access, absl::Time deadline) override {
    return DoExecute(access == Access::kWrite ? "BEGIN IMMEDIATE" : "BEGIN", {}, deadline).status();
  }
  absl::Status Commit() override { return DoExecute("COMMIT", {}, absl::InfiniteFuture()).status(); }
  void Rollback() override {
    // Some errors have rolled it back already.
    if (sqlite3_get_autocommit(db_) == 0) sqlite3_exec(db_, "ROLLBACK", nullptr, nullptr, nullptr);
  }

 private:
  absl::StatusOr<int64_t> DoExecute(absl::string_view statement, absl::Span<const Param> params,
                                    absl::Time deadline) override {
    LATTICE_ASSIGN_OR_RETURN(sqlite3_stmt * prepared, Prepare(statement, deadline));
    return Step(prepared, params, nullptr);
  }
  absl::StatusOr<std::vector<Row>> DoQuery(absl::string_view statement, absl::Span<const Param> params,
                                           absl::Time deadline) override;

  absl::StatusOr<sqlite3_stmt*> Prepare(absl::string_view statement, absl::Time deadline);
  // Runs it to its end; its rows go to `rows` if set. How many rows it changed.
  absl::StatusOr<int64_t> Step(sqlite3_stmt* statement, absl::Span<const Param> params, std::vector<Row>* rows);
  absl::Status Bind(sqlite3_stmt* statement, absl::Span<const Param> params);
  absl::Status Error();
  void Forget() {
    for (auto& [text, statement] : statements_) sqlite3_finalize(statement);
    statements_.clear();
  }
  int Busy(int calls);

  const std::string path_;
  const Options options_;
  sqlite3* db_ = nullptr;
  absl::flat_hash_map<std::string, sqlite3_stmt*> statements_;
  absl::Time deadline_ = absl::InfiniteFuture();  // of the call that runs
  absl::Time busy_since_;
};

absl::Status Sqlite::Open() {
  // SQLite would make it by the umask. The files beside it get the mode of this one. Only where there is none: closing
  // a descriptor of the file drops all of this process's POSIX locks on it, those of other connections too, and then
  // whoever else opens and closes the database takes its WAL away.
  UniqueFd file(open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file.ok() && errno != EEXIST) {
    return absl::UnavailableError(absl::StrCat("opening the database ", path_, ": ", ErrnoStatus(errno, "").message()));
  }
  file.reset();
  if (sqlite3_open_v2(path_.c_str(), &db_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr) != SQLITE_OK) {
    return Error();
  }
  sqlite3_extended_result_codes(db_, 1);
  sqlite3_busy_handler(
      db_, [](void* self, int calls) { return static_cast<Sqlite*>(self)->Busy(calls); }, this);
  sqlite3_progress_handler(
      db_, kInstructionsPerCheck,
      [](void* self) { return absl::Now() > static_cast<Sqlite*>(self)->deadline_ ? 1 : 0; }, this);
  LATTICE_RETURN_IF_ERROR(
      // Of a new file; of an old one the size stays. A row goes to the ends of a dozen trees: with twice SQLite's
      // default they are lower and their pages are written less often.
      ExecuteScript(absl::StrCat("PRAGMA page_size=8192; PRAGMA journal_mode=WAL; PRAGMA synchronous=",
                                 options_.sync_full ? "FULL" : "NORMAL",
                                 "; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-65536;"
                                 // 64 MiB: a page that many transactions change is copied to the file once.
                                 "PRAGMA wal_autocheckpoint=8192; PRAGMA journal_size_limit=134217728;"),
                    absl::InfiniteFuture()));
  if (options_.sqlite_max_pages == 0) return absl::OkStatus();
  return ExecuteScript(absl::StrCat("PRAGMA max_page_count=", options_.sqlite_max_pages), absl::InfiniteFuture());
}

// Called while another connection holds the lock; 0 gives up.
int Sqlite::Busy(int calls) {
  const absl::Time now = absl::Now();
  if (calls == 0) busy_since_ = now;
  if (now >= deadline_ || now - busy_since_ >= options_.busy_timeout) return 0;
  absl::SleepFor(std::min(absl::Microseconds(200) * (calls + 1), absl::Milliseconds(10)));
  return 1;
}

absl::Status Sqlite::Error() {
  const int code = db_ == nullptr ? SQLITE_NOMEM : sqlite3_extended_errcode(db_);
  const std::string text = absl::StrCat("database ", path_, ": ", db_ == nullptr ? "no memory" : sqlite3_errmsg(db_));
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      if (absl::Now() > deadline_) return absl::DeadlineExceededError(text);
      return absl::UnavailableError(absl::StrCat(text, " by another process"));
    case SQLITE_FULL:
      return absl::UnavailableError(absl::StrCat(text, ": make room on the disk"));
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PROTOCOL:
      return absl::UnavailableError(
          absl::StrCat(text, " (", sqlite3_errstr(code), ", errno ", sqlite3_system_errno(db_), ")"));
    case SQLITE_INTERRUPT:
      return absl::DeadlineExceededError(absl::StrCat("database ", path_, ": the query took too long"));
    case SQLITE_CONSTRAINT:
      if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) {
        return absl::AlreadyExistsError(text);
      }
      return absl::InternalError(text);
    default:
      return absl::InternalError(text);
  }
}

absl::StatusOr<sqlite3_stmt*> Sqlite::Prepare(absl::string_view statement, absl::Time deadline) {
  deadline_ = deadline;
  if (const auto found = statements_.find(statement); found != statements_.end()) return found->second;
  if (statements_.size() >= kMaxStatements) Forget();
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v3(db_, statement.data(), static_cast<int>(statement.size()), SQLITE_PREPARE_PERSISTENT,
                         &prepared, nullptr) != SQLITE_OK) {
    return Error();
  }
  statements_.emplace(statement, prepared);
  return prepared;
}

absl::Status Sqlite::Bind(sqlite3_stmt* statement, absl::Span<const Param> params) {
  if (static_cast<size_t>(sqlite3_bind_parameter_count(statement)) != params.size()) {
    return absl::InternalError(absl::StrCat(params.size(), " parameters for: ", sqlite3_sql(statement)));
  }
  int index = 0;
  for (const Param& param : params) {
    ++index;
    int result = SQLITE_OK;
    if (const int64_t* number = std::get_if<int64_t>(&param.value())) {
      result = sqlite3_bind_int64(statement, index, *number);
    } else if (const absl::string_view* text = std::get_if<absl::string_view>(&param.value())) {
      // The empty view has no address, which SQLite would take for NULL.
      result = sqlite3_bind_text64(statement, index, text->empty() ? "" : text->data(), text->size(), SQLITE_STATIC,
                                   SQLITE_UTF8);
    } else {
      result = sqlite3_bind_null(statement, index);
    }
    if (result != SQLITE_OK) return Error();
  }
  return absl::OkStatus();
}

Value Cell(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_NULL:
      return Value();
    case SQLITE_INTEGER:
      return Value(sqlite3_column_int64(statement, column));
    default: {
      const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      if (text == nullptr) return Value();  // no memory
      return Value(std::string(text, static_cast<size_t>(sqlite3_column_bytes(statement, column))));
    }
  }
}

absl::StatusOr<int64_t> Sqlite::Step(sqlite3_stmt* statement, absl::Span<const Param> params, std::vector<Row>* rows) {
  absl::Status status = Bind(statement, params);
  const int64_t before = sqlite3_total_changes64(db_);
  while (status.ok()) {
    const int result = sqlite3_step(statement);
    if (result == SQLITE_DONE) break;
    if (result != SQLITE_ROW) {
      status = Error();
    } else if (rows != nullptr) {
      Row& row = rows->emplace_back();
      const int columns = sqlite3_column_count(statement);
      row.reserve(static_cast<size_t>(columns));
      for (int column = 0; column < columns; ++column) row.push_back(Cell(statement, column));
    }
  }
  sqlite3_reset(statement);  // Tells the error of the last step again.
  sqlite3_clear_bindings(statement);
  if (!status.ok()) return status;
  return sqlite3_total_changes64(db_) - before;
}

absl::StatusOr<std::vector<Row>> Sqlite::DoQuery(absl::string_view statement, absl::Span<const Param> params,
                                                 absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sqlite3_stmt * prepared, Prepare(statement, deadline));
  std::vector<Row> rows;
  LATTICE_RETURN_IF_ERROR(Step(prepared, params, &rows).status());
  return rows;
}

absl::StatusOr<std::vector<int64_t>> Sqlite::ExecuteMany(absl::string_view statement, absl::Span<const Param> params,
                                                         size_t width, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sqlite3_stmt * prepared, Prepare(statement, deadline));
  std::vector<int64_t> changed;
  changed.reserve(params.size() / width);
  for (size_t at = 0; at + width <= params.size(); at += width) {
    LATTICE_ASSIGN_OR_RETURN(const int64_t rows, Step(prepared, params.subspan(at, width), nullptr));
    changed.push_back(rows);
  }
  return changed;
}

absl::Status Sqlite::ExecuteScript(absl::string_view script, absl::Time deadline) {
  deadline_ = deadline;
  if (sqlite3_exec(db_, std::string(script).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) return Error();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Connection>> ConnectSqlite(const std::string& path, const Options& options) {
  auto connection = std::make_unique<Sqlite>(path, options);
  LATTICE_RETURN_IF_ERROR(connection->Open());
  return connection;
}

}  // namespace lattice::sql
