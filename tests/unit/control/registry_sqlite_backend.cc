// The registry's tests on SQLite.
#include <gmock/gmock.h>

#include "tests/unit/control/registry_fixture.h"

namespace lattice::control {

std::unique_ptr<sql::Database> MakeRegistryDatabase(const std::string& folder) {
  static int made = 0;
  auto database = sql::Database::Open(absl::StrCat("sqlite://", folder, "/", ++made, ".db"));
  EXPECT_TRUE(database.ok()) << database.status();
  return database.ok() ? *std::move(database) : nullptr;
}

}  // namespace lattice::control
