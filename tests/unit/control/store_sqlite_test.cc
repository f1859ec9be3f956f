// What only a file can do: be locked by another process, be full, be of a newer program.
#include <sys/stat.h>

#include <thread>

#include "tests/unit/control/store_suite.h"
#include "userspace/control/schema/audit_schema.h"
#include "userspace/sql/migrate.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;

class StoreSqlite : public StoreTest {};

TEST_F(StoreSqlite, AnAppendToALockedDatabaseStoresNothingAndSaysSo) {
  auto other = OpenDatabase()->Connect();
  ASSERT_TRUE(other.ok());
  database_ = OpenDatabase({.busy_timeout = absl::Milliseconds(50)});
  Reopen();
  auto lock = sql::Transaction::Begin(**other, sql::Access::kWrite);
  ASSERT_TRUE(lock.ok());
  const absl::Status status = store_->Append({.events = Events({1})}).status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("locked"));
  EXPECT_TRUE(absl::IsUnavailable(store_->Check(Soon())));
  EXPECT_EQ(All().size(), 0u);  // readers do not wait
  { auto ended = *std::move(lock); }
  EXPECT_EQ(Append(Events({1})).stored, 1u);
  EXPECT_TRUE(store_->Check(Soon()).ok());
}

TEST_F(StoreSqlite, AFullDiskStoresNothingOfTheBatch) {
  database_ = OpenDatabase({.sqlite_max_pages = 200});
  Reopen();
  size_t stored = 0;
  absl::Status status;
  for (int64_t batch = 0; batch < 100 && status.ok(); ++batch) {
    std::vector<FlowEvent> events;
    for (int64_t i = 1; i <= 50; ++i) events.push_back(Event(batch * 50 + i));
    auto result = store_->Append({.events = std::move(events)});
    status = result.status();
    if (result.ok()) stored += result->stored;
  }
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("full"));
  EXPECT_EQ(All().size(), stored);
  EXPECT_EQ(OnlySource().stored, stored);
  database_ = OpenDatabase();
  Reopen();
  EXPECT_EQ(Append({Event(1'000'000)}).stored, 1u);
}

TEST_F(StoreSqlite, TheFileIsOfTheOwnerAlone) {
  Append(Events({1}));
  const std::string path = backend_->url().substr(9);
  for (const std::string& file : {path, path + "-wal", path + "-shm"}) {
    struct stat info = {};
    ASSERT_EQ(stat(file.c_str(), &info), 0) << file;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << file;
  }
}

TEST_F(StoreSqlite, ADatabaseOfANewerProgramIsRefused) {
  auto connection = database_->Connect();
  ASSERT_TRUE((*connection)->Execute("UPDATE la_schema SET version = 99 WHERE module = 'audit'").ok());
  const absl::Status status = SqlFlowStore::Create(*database_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("99"));
}

}  // namespace
}  // namespace lattice::control
