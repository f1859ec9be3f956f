// The store's tests (tests/unit/control) on a real PostgreSQL, and what only a server can do: go, come back, hang.
#include <atomic>
#include <set>
#include <thread>

#include "tests/testing/postgres.h"
#include "tests/testing/wait_until.h"
#include "tests/unit/control/store_suite.h"
#include "userspace/control/schema/audit_schema.h"
#include "userspace/sql/migrate.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// One for the whole program; null where PostgreSQL is not installed.
testing::PostgresServer* SharedServer() {
  static std::unique_ptr<testing::PostgresServer> server = []() -> std::unique_ptr<testing::PostgresServer> {
    auto started = testing::PostgresServer::Start();
    if (absl::IsNotFound(started.status())) return nullptr;
    EXPECT_TRUE(started.ok()) << started.status();
    return started.ok() ? *std::move(started) : nullptr;
  }();
  return server.get();
}

class PostgresBackend : public Backend {
 public:
  explicit PostgresBackend(std::string url) : url_(std::move(url)) {}
  std::string url() const override { return url_; }

 private:
  const std::string url_;
};

}  // namespace

std::unique_ptr<Backend> MakeBackend() {
  static int tests = 0;
  testing::PostgresServer* server = SharedServer();
  if (server == nullptr) return nullptr;
  auto url = server->CreateDatabase(absl::StrCat("test", ++tests));
  EXPECT_TRUE(url.ok()) << url.status();
  return url.ok() ? std::make_unique<PostgresBackend>(*url) : nullptr;
}

namespace {

class StorePostgres : public StoreTest {
 protected:
  testing::PostgresServer& server() { return *SharedServer(); }
};

TEST_F(StorePostgres, AKilledServerIsUnavailableAndLosesNothingThatWasAcknowledged) {
  std::set<std::string> acknowledged;
  std::atomic<int64_t> appended = 0;
  std::atomic<bool> stop = false;
  int failures = 0;
  std::thread writer([&] {
    for (int64_t batch = 0; !stop; ++batch) {
      std::vector<FlowEvent> events;
      for (int64_t i = 1; i <= 20; ++i) events.push_back(Event(batch * 20 + i));
      // As the ingest does it: again until it is stored.
      while (true) {
        auto result = store_->Append({.events = events});
        if (result.ok()) break;
        EXPECT_TRUE(absl::IsUnavailable(result.status())) << result.status();
        ++failures;
        absl::SleepFor(absl::Milliseconds(20));
      }
      for (const FlowEvent& event : events) acknowledged.insert(event.event_id);
      ++appended;
    }
  });
  for (int round = 0; round < 3; ++round) {
    const int64_t before = appended;
    EXPECT_TRUE(testing::WaitUntil([&] { return appended > before + 5; }));
    ASSERT_TRUE(server().Kill().ok());
    absl::SleepFor(absl::Milliseconds(100));
    const absl::Status restarted = server().Restart();
    ASSERT_TRUE(restarted.ok()) << restarted;
  }
  const int64_t before = appended;
  EXPECT_TRUE(testing::WaitUntil([&] { return appended > before + 5; }));
  stop = true;
  writer.join();
  EXPECT_GT(failures, 0);
  std::set<std::string> found;
  for (const FlowEvent& event : All()) EXPECT_TRUE(found.insert(event.event_id).second);
  EXPECT_EQ(found, acknowledged);
  const Source source = OnlySource();
  EXPECT_EQ(source.stored, acknowledged.size());
  EXPECT_EQ(source.missing, 0u);
  auto agents = store_->Agents({}, Soon());
  EXPECT_EQ((*agents)[0].flows, acknowledged.size());
}

TEST_F(StorePostgres, AServerThatHangsMeetsTheDeadline) {
  Append(Events({1}));
  ASSERT_TRUE(server().Pause().ok());
  const absl::Time begin = absl::Now();
  const absl::Status status = store_->Query({}, begin + absl::Milliseconds(200)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_LT(absl::Now() - begin, absl::Seconds(3));
  ASSERT_TRUE(server().Resume().ok());
  EXPECT_EQ(All().size(), 1u);
}

TEST_F(StorePostgres, AQueryThatIsLateEndsInTheServerToo) {
  auto connection = database_->Connect();
  ASSERT_TRUE(connection.ok());
  const absl::Status status =
      (*connection)->Query("SELECT pg_sleep(60)", {}, absl::Now() + absl::Milliseconds(100)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_TRUE(testing::WaitUntil([&] {
    auto rows = (*connection)->Query("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'");
    return rows.ok() && (*rows)[0][0].integer() == 0;
  }));
}

TEST_F(StorePostgres, ALostConnectionIsNotOpenedAgainWithinATransaction) {
  auto connection = database_->Connect();
  ASSERT_TRUE(connection.ok());
  {
    auto transaction = sql::Transaction::Begin(**connection, sql::Access::kWrite);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE((*connection)->Execute("INSERT INTO la_schema VALUES ('x', 1)").ok());
    ASSERT_TRUE(server().Kill().ok());
    ASSERT_TRUE(server().Restart().ok());
    EXPECT_TRUE(absl::IsUnavailable((*connection)->Execute("INSERT INTO la_schema VALUES ('y', 1)").status()));
    EXPECT_TRUE(absl::IsUnavailable((*connection)->Query("SELECT 1").status()));
    EXPECT_TRUE(absl::IsUnavailable(transaction->Commit()));
  }
  auto rows = (*connection)->Query("SELECT count(*) FROM la_schema WHERE module IN ('x', 'y')");
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ((*rows)[0][0].integer(), 0);
}

TEST_F(StorePostgres, ManyReplicasMayMigrateAtOnce) {
  auto url = server().CreateDatabase("migrated_at_once");
  ASSERT_TRUE(url.ok());
  std::vector<std::thread> replicas;
  std::vector<absl::Status> statuses(6);
  for (absl::Status& status : statuses) {
    replicas.emplace_back([&url, &status] {
      auto database = sql::Database::Open(*url);
      status = SqlFlowStore::Create(**database).status();
    });
  }
  for (std::thread& replica : replicas) replica.join();
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
}

TEST_F(StorePostgres, TellsNoPassword) {
  for (const std::string& url :
       {absl::StrCat("postgresql://postgres:s3cret@127.0.0.1:1/x"),
        absl::StrCat("postgresql://postgres:s3cret@127.0.0.1:", server().port(), "/no_such_database"),
        std::string("postgresql://postgres:s3cret@[::1/x"),
        std::string("postgresql://u@h:1/x?password=s3cret&bad=1")}) {
    auto database = sql::Database::Open(url);
    ASSERT_TRUE(database.ok());
    const absl::Status status = (*database)->Connect().status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(status.ToString(), Not(HasSubstr("s3cret")));
    EXPECT_THAT((*database)->name(), Not(HasSubstr("s3cret")));
  }
}

TEST_F(StorePostgres, TwoReplicasDeleteEachEventOnce) {
  clock_.SetWall(absl::FromUnixNanos(kT0));  // they come in when they are made
  std::vector<FlowEvent> events;
  for (int64_t seq = 1; seq <= 9'000; ++seq) events.push_back(Event(seq));
  Append(events);
  auto other_database = OpenDatabase();
  auto other = SqlFlowStore::Create(*other_database, {}, clock_);
  std::set<int64_t> archived[2];
  uint64_t deleted[2] = {};
  const auto run = [&](SqlFlowStore& store, int which) {
    auto report = store.DeleteBefore(
        kT0 + kHour * 10,
        [&](const std::vector<FlowEvent>& gone) {
          for (const FlowEvent& event : gone) archived[which].insert(event.seq);
          return absl::OkStatus();
        },
        Soon());
    ASSERT_TRUE(report.ok()) << report.status();
    deleted[which] = report->events;
  };
  std::thread second([&] { run(**other, 1); });
  run(*store_, 0);
  second.join();
  EXPECT_EQ(deleted[0] + deleted[1], 9'000u);
  EXPECT_EQ(archived[0].size() + archived[1].size(), 9'000u);
  archived[0].merge(archived[1]);
  EXPECT_EQ(archived[0].size(), 9'000u);
}

}  // namespace
}  // namespace lattice::control
