// Replicas that race for one thing. Each thread has a registry of its own, as a replica has.
#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/control/registry_fixture.h"

namespace lattice::control {
namespace {

constexpr int kReplicas = 4;

class Race : public RegistryTest {
 protected:
  // Runs `work` in kReplicas threads at once, each with its registry.
  void Run(const std::function<void(Registry&, int)>& work) {
    std::vector<std::unique_ptr<Registry>> registries;
    for (int i = 0; i < kReplicas; ++i) registries.push_back(OpenAnother());
    std::atomic<int> ready = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < kReplicas; ++i) {
      threads.emplace_back([&, i] {
        for (++ready; ready < kReplicas;) std::this_thread::yield();
        work(*registries[static_cast<size_t>(i)], i);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(Race, AFreshDatabaseGetsOneSecret) {
  ASSERT_TRUE(database_->Connect().ok());  // SQLite: makes the file
  std::vector<std::string> tokens(kReplicas);
  std::vector<std::unique_ptr<Registry>> registries(kReplicas);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kReplicas; ++i) {
    threads.emplace_back([&, i] {
      auto registry = Registry::Open(*database_, clock_);
      ASSERT_TRUE(registry.ok()) << registry.status();
      registries[i] = *std::move(registry);
      tokens[i] = *registries[i]->IssueUserToken("me", "admin", absl::Hours(1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& token : tokens) EXPECT_TRUE(registries[0]->verifier().VerifyUser(token).ok());
}

TEST_F(Race, AnEnrollmentTokenIsRedeemedOnce) {
  Open();
  for (int round = 0; round < 10; ++round) {
    const std::string token = Token();
    std::atomic<int> won = 0, used = 0;
    Run([&](Registry& registry, int i) {
      const int number = round * kReplicas + i;
      const auto enrolled =
          registry.Enroll({.token = token, .name = absl::StrCat("a", number), .public_key = Key(number)});
      if (enrolled.ok()) ++won;
      if (enrolled.status().message() == "enrollment token already used") ++used;
    });
    EXPECT_EQ(won, 1);
    EXPECT_EQ(used, kReplicas - 1);
  }
}

TEST_F(Race, AddressesAreGivenOnceAndVersionsRise) {
  Open();
  absl::Mutex mutex;
  std::vector<std::string> tokens;
  for (int i = 0; i < kReplicas * 10; ++i) tokens.push_back(Token());
  std::set<std::string> addresses;
  std::set<int64_t> versions;
  Run([&](Registry& registry, int i) {
    registry.SetOnChange([&](const Change& change) {
      absl::MutexLock lock(&mutex);
      versions.insert(change.version);
    });
    for (int n = 0; n < 10; ++n) {
      const int number = i * 10 + n;
      const auto enrolled = registry.Enroll(
          {.token = tokens[static_cast<size_t>(number)], .name = absl::StrCat("a", number), .public_key = Key(number)});
      ASSERT_TRUE(enrolled.ok()) << enrolled.status();
      absl::MutexLock lock(&mutex);
      addresses.insert(enrolled->agent.address);
    }
  });
  EXPECT_EQ(addresses.size(), kReplicas * 10u);
  EXPECT_EQ(*addresses.rbegin(), "10.42.0.9");
  EXPECT_EQ(versions.size(), kReplicas * 10u);
}

TEST_F(Race, ANameIsTakenOnce) {
  Open();
  std::vector<std::string> tokens;
  for (int i = 0; i < kReplicas; ++i) tokens.push_back(Token());
  std::atomic<int> won = 0, taken = 0;
  Run([&](Registry& registry, int i) {
    const auto enrolled =
        registry.Enroll({.token = tokens[static_cast<size_t>(i)], .name = "same", .public_key = Key(i)});
    if (enrolled.ok()) ++won;
    if (absl::IsAlreadyExists(enrolled.status())) ++taken;
  });
  EXPECT_EQ(won, 1);
  EXPECT_EQ(taken, kReplicas - 1);
}

}  // namespace
}  // namespace lattice::control
