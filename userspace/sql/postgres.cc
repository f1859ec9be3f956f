// Theory of operation
//
// A statement of Execute and ExecuteMany is prepared once per session under the name sN. One of Query is not: the
// server would soon plan it for the average value, and a rare one needs another index than a common one. All run in
// libpq's non-blocking mode, so that the deadline is ours: Flush() and Await() poll the socket until the deadline. A
// call that is late closes the session: no cancel request has to get through to a server that may hang. The server
// notices within a second (client_connection_check_interval) and ends the query and its transaction. What ends a
// session, a late call or a lost server, leaves connection_ empty; the next call outside of a transaction opens
// another.
//
// One file because it is one state machine: what a deadline, an error or a lost server means for the session is decided
// at each wait for the socket, and each call waits.
#include "userspace/sql/postgres.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"

namespace lattice::sql {
namespace {

constexpr size_t kMaxStatements = 256;
// Of pg_type.h, which is no header of the client.
constexpr Oid kBool = 16, kInt8 = 20, kInt2 = 21, kInt4 = 23;

struct FreeResult {
  void operator()(PGresult* result) const { PQclear(result); }
};
struct FreeConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using Result = std::unique_ptr<PGresult, FreeResult>;

// Parameters in the form of libpq: text, NUL-terminated.
class Texts {
 public:
  explicit Texts(absl::Span<const Param> params) : owned_(params.size()), pointers_(params.size()) {
    for (size_t i = 0; i < params.size(); ++i) {
      if (const int64_t* number = std::get_if<int64_t>(&params[i].value())) {
        owned_[i] = absl::StrCat(*number);
      } else if (const absl::string_view* text = std::get_if<absl::string_view>(&params[i].value())) {
        owned_[i] = std::string(*text);
      } else {
        continue;  // NULL
      }
      pointers_[i] = owned_[i].c_str();
    }
  }
  int size() const { return static_cast<int>(pointers_.size()); }
  const char* const* data() const { return pointers_.data(); }

 private:
  std::vector<std::string> owned_;
  std::vector<const char*> pointers_;
};

class Postgres : public Connection {
 public:
  Postgres(std::string url, std::string name, const Options& options)
      : url_(std::move(url)), name_(std::move(name)), options_(options) {}

  absl::Status Open(absl::Time deadline);
  Engine engine() const override { return Engine::kPostgresql; }
  bool usable() const override { return connection_ != nullptr; }
  absl::StatusOr<std::vector<int64_t>> ExecuteMany(absl::string_view statement, absl::Span<const Param> params,
                                                   size_t width, absl::Time deadline) override;
  absl::Status ExecuteScript(absl::string_view script, absl::Time deadline) override;
  absl::Status Begin(Access access, absl::Time deadline) override;
  absl::Status Commit() override;
  void Rollback() override;

 private:
  absl::StatusOr<int64_t> DoExecute(absl::string_view statement, absl::Span<const Param> params,
                                    absl::Time deadline) override;
  absl::StatusOr<std::vector<Row>> DoQuery(absl::string_view statement, absl::Span<const Param> params,
                                           absl::Time deadline) override;

  absl::Status Ready(absl::Time deadline);
  absl::StatusOr<std::string> Prepare(absl::string_view statement, absl::Time deadline);
  absl::Status Simple(const char* statement, absl::Time deadline);
  // Until all is sent; reads what comes meanwhile, or both sides could wait for each other.
  absl::Status Flush(absl::Time deadline);
  absl::StatusOr<Result> Next(absl::Time deadline);  // null: no more of this statement
  absl::StatusOr<Result> Last(absl::Time deadline);  // the last of this statement, or its error
  absl::Status Drain(size_t rows, std::vector<int64_t>& changed, absl::Time deadline);
  absl::Status Wait(short events, absl::Time deadline);

  absl::Status Late() {
    Close();
    return absl::DeadlineExceededError(absl::StrCat("database ", name_, ": no answer in time"));
  }
  absl::Status Lost() {
    const std::string text = connection_ == nullptr ? "" : PQerrorMessage(connection_.get());
    Close();
    return absl::UnavailableError(
        absl::StrCat("database ", name_, ": connection lost: ", absl::StripAsciiWhitespace(text)));
  }
  absl::Status ErrorOf(const PGresult* result);
  void Close() {
    connection_.reset();
    statements_.clear();
  }

  const std::string url_;
  const std::string name_;
  const Options options_;
  std::unique_ptr<PGconn, FreeConnection> connection_;
  absl::flat_hash_map<std::string, std::string> statements_;  // text -> name
  uint64_t next_statement_ = 0;
  bool in_transaction_ = false;
};

absl::Status Postgres::Open(absl::Time deadline) {
  const absl::Duration limit = std::min(options_.connect_timeout, deadline - absl::Now());
  if (limit <= absl::ZeroDuration()) return Late();
  // libpq takes 1 s for 2.
  const std::string timeout = absl::StrCat(std::max<int64_t>(2, absl::ToInt64Seconds(limit)));
  const char* keys[] = {"connect_timeout", "application_name", "dbname", "client_encoding", nullptr};
  const char* values[] = {timeout.c_str(), "lattice", url_.c_str(), "UTF8", nullptr};
  connection_.reset(PQconnectdbParams(keys, values, 1));
  if (connection_ == nullptr) return absl::ResourceExhaustedError("no memory for a database connection");
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    // Of a URL that it can't read, libpq shows all: the password too.
    const std::string text = absl::StrReplaceAll(PQerrorMessage(connection_.get()), {{url_, name_}});
    Close();
    return absl::UnavailableError(absl::StrCat("database ", name_, ": ", absl::StripAsciiWhitespace(text)));
  }
  PQsetnonblocking(connection_.get(), 1);
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  LATTICE_RETURN_IF_ERROR(Simple("SET client_connection_check_interval = '1s'", deadline));
  // A client that vanished within a transaction must not keep its locks.
  return Simple("SET idle_in_transaction_session_timeout = '60s'", deadline);
}

// A session to use: outside of a transaction a lost one is opened again.
absl::Status Postgres::Ready(absl::Time deadline) {
  if (connection_ != nullptr) {
    // A server that went away while we were idle has closed the socket: seen here, it costs no failed call.
    pollfd fd = {PQsocket(connection_.get()), POLLIN, 0};
    const bool readable = poll(&fd, 1, 0) == 1;
    if (readable) PQconsumeInput(connection_.get());
    if (PQstatus(connection_.get()) == CONNECTION_OK) return absl::OkStatus();
  }
  if (in_transaction_) return Lost();
  Close();
  return Open(deadline);
}

absl::Status Postgres::Wait(short events, absl::Time deadline) {
  pollfd fd = {PQsocket(connection_.get()), events, 0};
  while (true) {
    int timeout = -1;
    if (deadline != absl::InfiniteFuture()) {
      const absl::Duration left = deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return Late();
      timeout = static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 1'000'000));
    }
    const int ready = poll(&fd, 1, timeout);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Lost();
  }
}

absl::Status Postgres::Flush(absl::Time deadline) {
  while (true) {
    const int left = PQflush(connection_.get());
    if (left == 0) return absl::OkStatus();
    if (left < 0) return Lost();
    LATTICE_RETURN_IF_ERROR(Wait(POLLIN | POLLOUT, deadline));
    if (PQconsumeInput(connection_.get()) == 0) return Lost();
  }
}

absl::StatusOr<Result> Postgres::Next(absl::Time deadline) {
  while (PQisBusy(connection_.get()) != 0) {
    LATTICE_RETURN_IF_ERROR(Wait(POLLIN, deadline));
    if (PQconsumeInput(connection_.get()) == 0) return Lost();
  }
  return Result(PQgetResult(connection_.get()));
}

absl::StatusOr<Result> Postgres::Last(absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(Flush(deadline));
  Result last;
  absl::Status error;
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(Result next, Next(deadline));
    if (next == nullptr) break;
    if (error.ok()) error = ErrorOf(next.get());
    last = std::move(next);
  }
  if (PQstatus(connection_.get()) != CONNECTION_OK) return Lost();
  if (!error.ok()) return error;
  return last;
}

absl::Status Postgres::ErrorOf(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  if (status != PGRES_FATAL_ERROR && status != PGRES_BAD_RESPONSE) return absl::OkStatus();
  const char* field = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const absl::string_view state = field == nullptr ? "" : field;
  // The primary text alone: the detail of a constraint shows values.
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const std::string text = absl::StrCat("database ", name_, ": ",
                                        primary != nullptr ? primary : PQresultErrorMessage(result), " (", state, ")");
  if (state == "23505") return absl::AlreadyExistsError(text);
  if (state == "57014") return absl::DeadlineExceededError(text);
  if (state == "40001" || state == "40P01") return absl::AbortedError(text);
  // Connection, resources (disk full, memory, connections), operator's intervention, system error; a lock; a
  // server that only reads, which is a standby.
  for (absl::string_view kind : {"08", "53", "57", "58"}) {
    if (absl::StartsWith(state, kind)) return absl::UnavailableError(text);
  }
  if (state.empty() || state == "55P03" || state == "25006" || state == "25P03") return absl::UnavailableError(text);
  return absl::InternalError(text);
}

absl::Status Postgres::Simple(const char* statement, absl::Time deadline) {
  if (PQsendQuery(connection_.get(), statement) == 0) return Lost();
  return Last(deadline).status();
}

absl::StatusOr<std::string> Postgres::Prepare(absl::string_view statement, absl::Time deadline) {
  if (const auto found = statements_.find(statement); found != statements_.end()) return found->second;
  if (statements_.size() >= kMaxStatements) {
    LATTICE_RETURN_IF_ERROR(Simple("DEALLOCATE ALL", deadline));
    statements_.clear();
  }
  const std::string id = absl::StrCat("s", ++next_statement_);
  if (PQsendPrepare(connection_.get(), id.c_str(), NumberParameters(statement).c_str(), 0, nullptr) == 0) return Lost();
  LATTICE_RETURN_IF_ERROR(Last(deadline).status());
  statements_.emplace(statement, id);
  return id;
}

int64_t Changed(const PGresult* result) {
  int64_t rows = 0;
  // Empty for a statement that changes none.
  return absl::SimpleAtoi(PQcmdTuples(const_cast<PGresult*>(result)), &rows) ? rows : 0;
}

absl::StatusOr<int64_t> Postgres::DoExecute(absl::string_view statement, absl::Span<const Param> params,
                                            absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(Ready(deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::string id, Prepare(statement, deadline));
  const Texts texts(params);
  if (PQsendQueryPrepared(connection_.get(), id.c_str(), texts.size(), texts.data(), nullptr, nullptr, 0) == 0) {
    return Lost();
  }
  LATTICE_ASSIGN_OR_RETURN(const Result result, Last(deadline));
  return Changed(result.get());
}

Value Cell(const PGresult* result, int row, int column) {
  if (PQgetisnull(result, row, column) != 0) return Value();
  const absl::string_view text(PQgetvalue(result, row, column), static_cast<size_t>(PQgetlength(result, row, column)));
  int64_t number = 0;
  switch (PQftype(result, column)) {
    case kBool:
      return Value(int64_t{text == "t"});
    case kInt8:
    case kInt4:
    case kInt2:
      if (absl::SimpleAtoi(text, &number)) return Value(number);
      [[fallthrough]];
    default:
      return Value(std::string(text));
  }
}

absl::StatusOr<std::vector<Row>> Postgres::DoQuery(absl::string_view statement, absl::Span<const Param> params,
                                                   absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(Ready(deadline));
  const Texts texts(params);
  if (PQsendQueryParams(connection_.get(), NumberParameters(statement).c_str(), texts.size(), nullptr, texts.data(),
                        nullptr, nullptr, 0) == 0) {
    return Lost();
  }
  LATTICE_ASSIGN_OR_RETURN(const Result result, Last(deadline));
  std::vector<Row> rows(static_cast<size_t>(PQntuples(result.get())));
  const int columns = PQnfields(result.get());
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i].reserve(static_cast<size_t>(columns));
    for (int column = 0; column < columns; ++column) {
      rows[i].push_back(Cell(result.get(), static_cast<int>(i), column));
    }
  }
  return rows;
}

absl::StatusOr<std::vector<int64_t>> Postgres::ExecuteMany(absl::string_view statement, absl::Span<const Param> params,
                                                           size_t width, absl::Time deadline) {
  if (params.empty()) return std::vector<int64_t>();  // without asking the server
  LATTICE_RETURN_IF_ERROR(Ready(deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::string id, Prepare(statement, deadline));
  if (PQenterPipelineMode(connection_.get()) == 0) return Lost();
  for (size_t at = 0; at + width <= params.size(); at += width) {
    const Texts texts(params.subspan(at, width));
    if (PQsendQueryPrepared(connection_.get(), id.c_str(), texts.size(), texts.data(), nullptr, nullptr, 0) == 0) {
      return Lost();
    }
  }
  if (PQpipelineSync(connection_.get()) == 0) return Lost();
  LATTICE_RETURN_IF_ERROR(Flush(deadline));
  std::vector<int64_t> changed;
  LATTICE_RETURN_IF_ERROR(Drain(params.size() / width, changed, deadline));
  return changed;
}

// Reads the answers of a pipeline of `rows` statements and ends the mode. The first error is the one that counts: what
// comes after it was not run.
absl::Status Postgres::Drain(size_t rows, std::vector<int64_t>& changed, absl::Time deadline) {
  changed.reserve(rows);
  absl::Status error;
  while (true) {
    LATTICE_ASSIGN_OR_RETURN(const Result result, Next(deadline));
    if (PQstatus(connection_.get()) != CONNECTION_OK) {
      const absl::Status lost = Lost();
      return error.ok() ? lost : error;
    }
    if (result == nullptr) continue;  // the end of one statement
    if (PQresultStatus(result.get()) == PGRES_PIPELINE_SYNC) break;
    if (error.ok()) error = ErrorOf(result.get());
    changed.push_back(Changed(result.get()));
  }
  if (PQexitPipelineMode(connection_.get()) == 0) return Lost();
  return error;
}

absl::Status Postgres::ExecuteScript(absl::string_view script, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(Ready(deadline));
  return Simple(std::string(script).c_str(), deadline);
}

absl::Status Postgres::Begin(Access access, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(Ready(deadline));
  LATTICE_RETURN_IF_ERROR(
      Simple(access == Access::kWrite ? "BEGIN" : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", deadline));
  in_transaction_ = true;
  return absl::OkStatus();
}

absl::Status Postgres::Commit() {
  absl::Status status = Ready(absl::InfiniteFuture());
  if (status.ok() && PQtransactionStatus(connection_.get()) == PQTRANS_INERROR) {
    // COMMIT would answer ROLLBACK without an error.
    status = absl::InternalError(absl::StrCat("database ", name_, ": commit of a failed transaction"));
    Rollback();
  } else if (status.ok()) {
    status = Simple("COMMIT", absl::Now() + absl::Minutes(1));
  }
  in_transaction_ = false;
  return status;
}

void Postgres::Rollback() {
  in_transaction_ = false;
  if (connection_ == nullptr) return;
  const bool idle = PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
  // Whatever state it is in: without an answer the session ends, and its transaction with it.
  if (!idle && !Simple("ROLLBACK", absl::Now() + absl::Seconds(5)).ok()) Close();
}

}  // namespace

std::string NumberParameters(absl::string_view statement) {
  std::string numbered;
  numbered.reserve(statement.size() + 32);
  int parameters = 0;
  char quote = '\0';
  for (const char c : statement) {
    if (quote != '\0') {
      if (c == quote) quote = '\0';
    } else if (c == '\'' || c == '"') {
      quote = c;
    } else if (c == '?') {
      absl::StrAppend(&numbered, "$", ++parameters);
      continue;
    }
    numbered.push_back(c);
  }
  return numbered;
}

std::string WithoutPassword(const std::string& url) {
  std::string shown = url;
  // Parameters first: after '?' nothing of a password is worth showing, and a text after it may hold '@'.
  if (const size_t query = shown.find('?'); query != std::string::npos) shown.resize(query);
  const size_t begin = shown.find("://");
  const size_t at = shown.rfind('@');
  if (begin == std::string::npos || at == std::string::npos) return shown;
  const size_t colon = shown.find(':', begin + 3);
  if (colon != std::string::npos && colon < at) shown.erase(colon, at - colon);
  return shown;
}

absl::StatusOr<std::unique_ptr<Connection>> ConnectPostgres(const std::string& url, const std::string& name,
                                                            const Options& options) {
  auto connection = std::make_unique<Postgres>(url, name, options);
  LATTICE_RETURN_IF_ERROR(connection->Open(absl::InfiniteFuture()));
  return connection;
}

}  // namespace lattice::sql
