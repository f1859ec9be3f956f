// What the tests of the store share. Every test runs on SQLite in the unit tests (store_sqlite_backend.cc) and on a
// real PostgreSQL in the integration tests (tests/integration/store_postgres_test.cc): each defines MakeBackend().
#ifndef TESTS_UNIT_CONTROL_STORE_SUITE_H_
#define TESTS_UNIT_CONTROL_STORE_SUITE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/fake_clock.h"
#include "tests/testing/temp_dir.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/sql/database.h"

namespace lattice::control {

// A place for one test's tables.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string url() const = 0;
};
std::unique_ptr<Backend> MakeBackend();

inline constexpr int64_t kT0 = 1'700'000'000'000'000'000 / 3'600'000'000'000 * 3'600'000'000'000;  // a whole hour
inline constexpr int64_t kSecond = 1'000'000'000;
inline constexpr int64_t kMinute = 60 * kSecond;
inline constexpr int64_t kHour = 60 * kMinute;
inline absl::Time Soon() {
  return absl::Now() + absl::Seconds(30);
}

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    backend_ = MakeBackend();
    if (backend_ == nullptr) GTEST_SKIP() << "PostgreSQL is not installed";
    database_ = OpenDatabase();
    Reopen();
  }
  std::unique_ptr<sql::Database> OpenDatabase(const sql::Options& options = {}) {
    auto database = sql::Database::Open(backend_->url(), options);
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }
  void Reopen(const SqlFlowStoreOptions& options = {}) {
    auto store = SqlFlowStore::Create(*database_, options, clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  IngestResult Append(std::vector<FlowEvent> events) {
    auto result = store_->Append({.events = std::move(events)});
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *result : IngestResult{};
  }
  std::vector<FlowEvent> All(const FlowFilter& filter = {}) {
    std::vector<FlowEvent> all;
    FlowQuery query{.filter = filter, .ascending = true, .limit = 1000};
    while (true) {
      auto page = store_->Query(query, Soon());
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return all;
      all.insert(all.end(), page->events.begin(), page->events.end());
      if (!page->next) return all;
      query.after = page->next;
    }
  }
  Source OnlySource() {
    auto sources = store_->Sources(Soon());
    EXPECT_TRUE(sources.ok()) << sources.status();
    EXPECT_EQ(sources->size(), 1u);
    return sources->empty() ? Source{} : (*sources)[0];
  }
  // "1-4 7-7*": the gaps of boot "b" of node "n"; a star where a loss event names them.
  std::string GapsText(const std::string& node = "n", const std::string& boot = "b") {
    auto gaps = store_->Gaps(node, boot, 1000, Soon());
    EXPECT_TRUE(gaps.ok()) << gaps.status();
    std::string text;
    for (const Gap& gap : *gaps) {
      absl::StrAppend(&text, text.empty() ? "" : " ", gap.first_seq, "-", gap.last_seq,
                      gap.explained_by.empty() ? "" : "*");
    }
    return text;
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<sql::Database> database_;
  testing::FakeClock clock_;
  std::unique_ptr<SqlFlowStore> store_;
};

// A start event of flow `seq`; the caller changes what matters.
inline FlowEvent Event(int64_t seq, const std::string& node = "n", const std::string& boot = "b") {
  FlowEvent event;
  event.agent_id = "agent";
  event.direction = "egress";
  event.dst_ip = "192.0.2.7";
  event.dst_port = 443;
  event.ts_ns = kT0 + seq * kSecond;
  event.event_id = absl::StrCat(node, "/", boot, "/", seq);
  event.node = node;
  event.boot = boot;
  event.seq = seq;
  event.event = "start";
  event.verdict = "allow";
  event.reason = "allow_rule";
  event.rule = "0.0.0.0/0:443";
  event.src_ip = "10.42.0.2";
  event.protocol = "tcp";
  event.flow_id = absl::StrCat(boot, "-", seq);
  return event;
}

inline std::vector<FlowEvent> Events(std::vector<int64_t> seqs) {
  std::vector<FlowEvent> events;
  for (const int64_t seq : seqs) events.push_back(Event(seq));
  return events;
}

inline FlowEvent Loss(int64_t seq, int64_t first, int64_t last, int64_t count, const std::string& lost_boot = "") {
  FlowEvent event = Event(seq);
  event.direction = event.dst_ip = event.verdict = event.reason = event.rule = event.src_ip = event.protocol = "";
  event.dst_port = 0;
  event.flow_id = "";
  event.event = "loss";
  event.stage = "spool_cap";
  event.lost_count = count;
  event.lost_first_seq = first;
  event.lost_last_seq = last;
  event.lost_boot = lost_boot;
  return event;
}

// Random events over few values, so that filters meet and times repeat: `count` numbers of one boot.
std::vector<FlowEvent> RandomEvents(std::mt19937_64& random, size_t count);

}  // namespace lattice::control

#endif  // TESTS_UNIT_CONTROL_STORE_SUITE_H_
