// A registry over a database of its own, with a clock in the test's hand. The program that links these tests says which
// engine: MakeRegistryDatabase().
#ifndef TESTS_UNIT_CONTROL_REGISTRY_FIXTURE_H_
#define TESTS_UNIT_CONTROL_REGISTRY_FIXTURE_H_

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/registry.h"
#include "userspace/sql/database.h"

namespace lattice::control {

// A new, empty database; null where the engine is not installed.
std::unique_ptr<sql::Database> MakeRegistryDatabase(const std::string& folder);

// A valid public key that differs with `number`.
inline std::string Key(int number) {
  std::string bytes(32, 'k');
  bytes[0] = static_cast<char>(number);
  bytes[1] = static_cast<char>(number >> 8);
  return Base64(bytes);
}

class RegistryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = MakeRegistryDatabase(dir_.path());
    if (database_ == nullptr) GTEST_SKIP() << "the database is not installed here";
  }
  void Open(const RegistryOptions& options = {}) {
    registry_ = OpenAnother(options);
    ASSERT_NE(registry_, nullptr);
  }
  // As another replica has it.
  std::unique_ptr<Registry> OpenAnother(const RegistryOptions& options = {}) {
    auto registry = Registry::Open(*database_, clock_, options);
    EXPECT_TRUE(registry.ok()) << registry.status();
    return registry.ok() ? *std::move(registry) : nullptr;
  }
  std::string Token(const TokenRequest& request = {}) {
    const auto issued = registry_->CreateEnrollmentToken(request);
    EXPECT_TRUE(issued.ok()) << issued.status();
    return issued.ok() ? issued->token : "";
  }
  // Enrols `name` with Key(number) and a token of its own.
  Enrolled Add(const std::string& name, int number, const TokenRequest& request = {}) {
    const auto enrolled = registry_->Enroll({.token = Token(request), .name = name, .public_key = Key(number)});
    EXPECT_TRUE(enrolled.ok()) << enrolled.status();
    return enrolled.ok() ? *enrolled : Enrolled();
  }

  testing::TempDir dir_;
  testing::FakeClock clock_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<Registry> registry_;
};

}  // namespace lattice::control

#endif  // TESTS_UNIT_CONTROL_REGISTRY_FIXTURE_H_
