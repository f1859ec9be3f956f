// Connections, transactions and the pool, on SQLite.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/command.h"
#include "tests/testing/temp_dir.h"
#include "userspace/sql/database.h"

namespace lattice::sql {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Counts to a number that no test waits for.
constexpr char kHeavy[] =
    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000000000) SELECT max(n) FROM c";

class SqliteTest : public ::testing::Test {
 protected:
  std::unique_ptr<Database> Open(const Options& options = {}) {
    auto database = Database::Open(absl::StrCat("sqlite://", dir_.File("x.db")), options);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }
  std::unique_ptr<Connection> Connect(const Options& options = {}) {
    auto connection = Open(options)->Connect();
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }
  testing::TempDir dir_;
};

TEST_F(SqliteTest, ReturnsWhatWasBound) {
  auto connection = Connect();
  auto rows = connection->Query("SELECT ?, ?, ?, ?", {Null{}, INT64_MIN, "", "a'b"});
  ASSERT_TRUE(rows.ok()) << rows.status();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_THAT((*rows)[0], ElementsAre(Value(), Value(INT64_MIN), Value(std::string()), Value(std::string("a'b"))));
}

// Closing any descriptor of the file drops all POSIX locks of the process on it. Then an outsider that opens and closes
// the database takes itself for the last, and its WAL with all that is in it is gone.
TEST_F(SqliteTest, KeepsItsWalWhenAnOutsiderClosesTheDatabase) {
  auto database = Open();
  auto first = database->Connect();
  ASSERT_TRUE(first.ok() && (*first)->ExecuteScript("CREATE TABLE t (a INTEGER)").ok());
  auto second = database->Connect();
  ASSERT_TRUE(second.ok() && (*second)->Query("SELECT a FROM t").ok());
  ASSERT_TRUE((*first)->Execute("INSERT INTO t VALUES (1)").ok());
  const auto outsider = testing::RunCommand({"sqlite3", dir_.File("x.db"), "SELECT count(*) FROM t"});
  ASSERT_TRUE(outsider.ok()) << outsider;
  EXPECT_EQ(outsider.out, "1\n");
  ASSERT_TRUE((*first)->Execute("INSERT INTO t VALUES (2)").ok());
  EXPECT_EQ(testing::RunCommand({"sqlite3", dir_.File("x.db"), "SELECT count(*) FROM t"}).out, "2\n")
      << "it is in a WAL that only we have open";
}

TEST_F(SqliteTest, CountsChangedRowsOfEachOfMany) {
  auto connection = Connect();
  ASSERT_TRUE(
      connection->ExecuteScript("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x')").ok());
  auto changed =
      connection->ExecuteMany("INSERT INTO t VALUES (?, ?) ON CONFLICT DO NOTHING", {1, "y", 2, "y", 3, "z"}, 2);
  ASSERT_TRUE(changed.ok()) << changed.status();
  EXPECT_THAT(*changed, ElementsAre(0, 1, 1));
  EXPECT_EQ(*connection->Execute("UPDATE t SET b = ?", {"w"}), 3);
}

TEST_F(SqliteTest, NamesErrorsByTheirKind) {
  auto connection = Connect();
  ASSERT_TRUE(connection->ExecuteScript("CREATE TABLE t (a TEXT UNIQUE, b TEXT NOT NULL)").ok());
  ASSERT_TRUE(connection->Execute("INSERT INTO t VALUES ('x', '')").ok());
  EXPECT_TRUE(absl::IsAlreadyExists(connection->Execute("INSERT INTO t VALUES ('x', '')").status()));
  EXPECT_TRUE(absl::IsInternal(connection->Execute("INSERT INTO t VALUES ('y', NULL)").status()));
  EXPECT_TRUE(absl::IsInternal(connection->Query("SELECT nonsense").status()));
  EXPECT_TRUE(absl::IsInternal(connection->Query("SELECT ?").status()));
  EXPECT_TRUE(absl::IsUnavailable((*Database::Open("sqlite:///no/such/folder/x.db"))->Connect().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Database::Open("sqlite://x.db").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Database::Open("mysql://h/x").status()));
}

TEST_F(SqliteTest, ATransactionRollsBackAtTheEndOfItsScope) {
  auto connection = Connect();
  ASSERT_TRUE(connection->ExecuteScript("CREATE TABLE t (a INTEGER)").ok());
  {
    auto transaction = Transaction::Begin(*connection, Access::kWrite);
    ASSERT_TRUE(connection->Execute("INSERT INTO t VALUES (1)").ok());
  }
  {
    auto transaction = Transaction::Begin(*connection, Access::kWrite);
    ASSERT_TRUE(connection->Execute("INSERT INTO t VALUES (2)").ok());
    EXPECT_TRUE(transaction->Commit().ok());
  }
  auto rows = connection->Query("SELECT a FROM t");
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ((*rows)[0][0].integer(), 2);
}

TEST_F(SqliteTest, EndsAHeavyQueryAtItsDeadline) {
  auto connection = Connect();
  const absl::Time begin = absl::Now();
  auto rows = connection->Query(kHeavy, {}, begin + absl::Milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(rows.status())) << rows.status();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_TRUE(connection->Query("SELECT 1").ok());
}

TEST_F(SqliteTest, WaitsForAnotherWriterUntilItsDeadline) {
  auto first = Connect(), second = Connect();
  auto lock = Transaction::Begin(*first, Access::kWrite);
  ASSERT_TRUE(lock.ok());
  auto late = Transaction::Begin(*second, Access::kWrite, absl::Now() + absl::Milliseconds(30));
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  std::thread release([&] {
    absl::SleepFor(absl::Milliseconds(50));
    first->Rollback();
  });
  EXPECT_TRUE(Transaction::Begin(*second, Access::kWrite).ok());
  release.join();
}

TEST_F(SqliteTest, LendsABoundedNumberOfConnections) {
  auto database = Open({.max_connections = 2});
  {
    auto first = database->Borrow(), second = database->Borrow();
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_TRUE(absl::IsDeadlineExceeded(database->Borrow(absl::Now() + absl::Milliseconds(20)).status()));
  }
  EXPECT_TRUE(database->Borrow().ok());
}

TEST_F(SqliteTest, SaysThatTheFileIsFull) {
  auto connection = Connect({.sqlite_max_pages = 20});
  ASSERT_TRUE(connection->ExecuteScript("CREATE TABLE t (a TEXT)").ok());
  const absl::Status status = connection->Execute("INSERT INTO t VALUES (?)", {std::string(1 << 20, 'x')}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("full"));
}

}  // namespace
}  // namespace lattice::sql
