#include "userspace/sql/migrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "userspace/sql/database.h"

namespace lattice::sql {
namespace {

using ::testing::HasSubstr;

const std::vector<Migration> kTwo = {{.sqlite = "CREATE TABLE a (x INTEGER); CREATE TABLE b (x INTEGER)"},
                                     {.sqlite = "INSERT INTO a VALUES (1)"}};

class MigrateTest : public ::testing::Test {
 protected:
  std::unique_ptr<Connection> Connect() {
    auto connection = (*Database::Open(absl::StrCat("sqlite://", dir_.File("x.db"))))->Connect();
    EXPECT_TRUE(connection.ok()) << connection.status();
    return *std::move(connection);
  }
  testing::TempDir dir_;
};

TEST_F(MigrateTest, MakesEachChangeOnceAndPerModule) {
  auto connection = Connect();
  EXPECT_TRUE(Migrate(*connection, "m", absl::MakeConstSpan(kTwo).first(1)).ok());
  EXPECT_EQ(*SchemaVersion(*connection, "m"), 1);
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(Migrate(*connection, "m", kTwo).ok());
  EXPECT_EQ(*SchemaVersion(*connection, "m"), 2);
  EXPECT_EQ(*SchemaVersion(*connection, "other"), 0);
  EXPECT_EQ(connection->Query("SELECT x FROM a")->size(), 1u);
}

TEST_F(MigrateTest, RefusesTablesOfANewerProgram) {
  auto connection = Connect();
  ASSERT_TRUE(Migrate(*connection, "m", kTwo).ok());
  const absl::Status status = Migrate(*connection, "m", absl::MakeConstSpan(kTwo).first(1));
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("version 2"));
}

TEST_F(MigrateTest, LeavesNothingOfAChangeThatFails) {
  auto connection = Connect();
  const std::vector<Migration> bad = {{.sqlite = "CREATE TABLE c (x INTEGER); CREATE TABLE c (x INTEGER)"}};
  const absl::Status status = Migrate(*connection, "m", bad);
  EXPECT_THAT(std::string(status.message()), HasSubstr("migration 1 of m"));
  EXPECT_FALSE(connection->Query("SELECT * FROM c").ok());
  EXPECT_TRUE(Migrate(*connection, "m", kTwo).ok());
}

TEST_F(MigrateTest, ManyMayStartAtOnce) {
  std::vector<std::thread> starts;
  std::vector<absl::Status> statuses(6);
  for (absl::Status& status : statuses) {
    starts.emplace_back([this, &status] {
      auto connection = (*Database::Open(absl::StrCat("sqlite://", dir_.File("x.db"))))->Connect();
      status = connection.ok() ? Migrate(**connection, "m", kTwo) : connection.status();
    });
  }
  for (std::thread& start : starts) start.join();
  for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Connect()->Query("SELECT x FROM a")->size(), 1u);
}

}  // namespace
}  // namespace lattice::sql
