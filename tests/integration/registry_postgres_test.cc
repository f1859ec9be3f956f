// The registry's tests (tests/unit/control) on a real PostgreSQL, where replicas really come at once.
#include <gmock/gmock.h>

#include "tests/testing/postgres.h"
#include "tests/unit/control/registry_fixture.h"

namespace lattice::control {
namespace {

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

}  // namespace

std::unique_ptr<sql::Database> MakeRegistryDatabase(const std::string&) {
  static int made = 0;
  testing::PostgresServer* server = SharedServer();
  if (server == nullptr) return nullptr;
  const auto url = server->CreateDatabase(absl::StrCat("registry", ++made));
  EXPECT_TRUE(url.ok()) << url.status();
  if (!url.ok()) return nullptr;
  auto database = sql::Database::Open(*url);
  EXPECT_TRUE(database.ok()) << database.status();
  return database.ok() ? *std::move(database) : nullptr;
}

}  // namespace lattice::control
