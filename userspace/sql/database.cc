#include "userspace/sql/database.h"

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/sql/postgres.h"
#include "userspace/sql/sqlite.h"

namespace lattice::sql {

absl::StatusOr<Transaction> Transaction::Begin(Connection& connection, Access access, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(connection.Begin(access, deadline));
  return Transaction(connection);
}

absl::Status Transaction::Commit() {
  if (connection_ == nullptr) return absl::FailedPreconditionError("this transaction is over");
  const absl::Status status = connection_->Commit();
  if (status.ok()) connection_ = nullptr;  // else the destructor rolls back
  return status;
}

Lease::~Lease() {
  if (connection_ != nullptr) database_->GiveBack(std::move(connection_));
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& url, const Options& options) {
  constexpr absl::string_view kSqlite = "sqlite://";
  if (absl::StartsWith(url, kSqlite)) {
    const std::string path = url.substr(kSqlite.size());
    if (!absl::StartsWith(path, "/")) {
      return absl::InvalidArgumentError(absl::StrCat(url, ": expected sqlite:///PATH with an absolute path"));
    }
    return absl::WrapUnique(new Database(Engine::kSqlite, path, url, options));
  }
  if (absl::StartsWith(url, "postgresql://") || absl::StartsWith(url, "postgres://")) {
    return absl::WrapUnique(new Database(Engine::kPostgresql, url, WithoutPassword(url), options));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(WithoutPassword(url), ": expected sqlite:///PATH or postgresql://USER@HOST/DATABASE"));
}

absl::StatusOr<std::unique_ptr<Connection>> Database::Connect() const {
  return engine_ == Engine::kSqlite ? ConnectSqlite(address_, options_) : ConnectPostgres(address_, name_, options_);
}

absl::StatusOr<Lease> Database::Borrow(absl::Time deadline) {
  {
    absl::MutexLock lock(&mutex_);
    const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return lent_ < options_.max_connections; };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&free), deadline)) {
      return absl::DeadlineExceededError(absl::StrCat("database ", name_, ": every connection is in use"));
    }
    ++lent_;
    if (!idle_.empty()) {
      std::unique_ptr<Connection> connection = std::move(idle_.back());
      idle_.pop_back();
      return Lease(*this, std::move(connection));
    }
  }
  absl::StatusOr<std::unique_ptr<Connection>> connection = Connect();
  if (!connection.ok()) {
    absl::MutexLock lock(&mutex_);
    --lent_;
    return connection.status();
  }
  return Lease(*this, *std::move(connection));
}

void Database::GiveBack(std::unique_ptr<Connection> connection) {
  absl::MutexLock lock(&mutex_);
  --lent_;
  if (connection->usable()) idle_.push_back(std::move(connection));
}

}  // namespace lattice::sql
