// DeleteBefore(): what goes, what stays, what is archived.
#include <set>

#include "tests/unit/control/store_suite.h"

namespace lattice::control {
namespace {

using ::testing::IsEmpty;

// Records come in when the first of them is made.
class StoreRetention : public StoreTest {
 protected:
  StoreRetention() { clock_.SetWall(absl::FromUnixNanos(kT0)); }
};

TEST_F(StoreRetention, ARecordOfAWrongClockIsKeptAsLongAsTheOthers) {
  FlowEvent of_1970 = Event(1);
  of_1970.ts_ns = kSecond;
  Append({of_1970, Event(2)});
  auto report = store_->DeleteBefore(kT0 - kSecond, nullptr, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(All().size(), 2u);
  report = store_->DeleteBefore(kT0 + kHour, nullptr, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(StoreRetention, DeletesAndArchivesWhatIsOldAndKeepsTheRest) {
  std::vector<FlowEvent> events;
  for (int64_t seq = 1; seq <= 5'000; ++seq) events.push_back(Event(seq));
  Append(events);
  clock_.Advance(absl::Seconds(1));
  std::set<int64_t> archived;
  size_t batches = 0;
  const int64_t before = kT0 + 4'500 * kSecond;
  auto report = store_->DeleteBefore(
      before,
      [&](const std::vector<FlowEvent>& gone) {
        ++batches;
        for (const FlowEvent& event : gone) EXPECT_TRUE(archived.insert(event.seq).second);
        return absl::OkStatus();
      },
      Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_FALSE(report->more);
  EXPECT_EQ(report->events, 4'499u);
  EXPECT_GE(batches, 3u);
  EXPECT_EQ(archived.size(), 4'499u);
  EXPECT_EQ(*archived.rbegin(), 4'499);
  EXPECT_EQ(All().size(), 501u);
  EXPECT_GT(report->rollups, 0u);
  auto timeline = store_->Timeline({.from_ns = kT0, .to_ns = kT0 + 2 * kHour}, 120, Soon());
  uint64_t flows = 0;
  for (const TimelinePoint& point : *timeline) flows += point.allowed;
  EXPECT_EQ(flows, 501u);  // the limit is a whole minute here
}

// Top() takes the minutes before the range off the sum of their hour: both must still have them.
TEST_F(StoreRetention, KeepsTheMinutesOfAnHourThatStays) {
  std::vector<FlowEvent> events;
  for (int64_t minute = 0; minute < 120; ++minute) {
    events.push_back(Event(minute + 1));
    events.back().ts_ns = kT0 + minute * kMinute;
  }
  Append(events);
  clock_.Advance(absl::Seconds(1));
  auto report = store_->DeleteBefore(kT0 + 75 * kMinute, nullptr, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  auto top = store_->Top({.from_ns = kT0 + 65 * kMinute, .to_ns = kT0 + 2 * kHour}, TopBy::kDestination,
                         TopMetric::kFlows, 10, Soon());
  ASSERT_TRUE(top.ok()) << top.status();
  ASSERT_EQ(top->size(), 1u);
  EXPECT_EQ((*top)[0].flows, 55u);
}

TEST_F(StoreRetention, KeepsWhatCannotBeArchived) {
  Append(Events({1, 2, 3}));
  auto report = store_->DeleteBefore(
      kT0 + kHour, [](const std::vector<FlowEvent>&) { return absl::UnavailableError("the archive is full"); }, Soon());
  EXPECT_TRUE(absl::IsUnavailable(report.status())) << report.status();
  EXPECT_EQ(All().size(), 3u);
}

TEST_F(StoreRetention, StopsAtItsDeadline) {
  Append(Events({1, 2, 3}));
  auto report = store_->DeleteBefore(kT0 + kHour, nullptr, absl::Now() - absl::Seconds(1));
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_TRUE(report->more);
  EXPECT_EQ(All().size(), 3u);
  report = store_->DeleteBefore(kT0 + kHour, nullptr, Soon());
  EXPECT_FALSE(report->more);
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(StoreRetention, DeletesOldRejects) {
  ASSERT_TRUE(store_->Append({.rejects = {{.reason = "malformed", .stream_seq = 1}}}).ok());
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(store_->Append({.rejects = {{.reason = "malformed", .stream_seq = 2}}}).ok());
  auto report = store_->DeleteBefore(absl::ToUnixNanos(clock_.Now()), nullptr, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->rejects, 1u);
  EXPECT_EQ((*store_->Rejects(10, Soon()))[0].stream_seq, 2u);
}

TEST_F(StoreRetention, ForgetsOldBootsButNoNode) {
  for (const char* boot : {"first", "second", "third"}) {
    Append({Event(1, "n", boot), Event(5, "n", boot)});
    ASSERT_TRUE(store_
                    ->Append({.heads = {{.node = "n", .boot = boot, .seq = 5, .h = "aa"},
                                        {.node = "n", .boot = boot, .seq = 4, .h = "bb", .digest = "text"}}})
                    .ok());
    clock_.Advance(absl::Hours(1));
  }
  const int64_t before = absl::ToUnixNanos(clock_.Now() - absl::Minutes(90));
  auto report = store_->DeleteBefore(before, nullptr, Soon());
  ASSERT_TRUE(report.ok()) << report.status();
  auto sources = store_->Sources(Soon());
  ASSERT_EQ(sources->size(), 1u);
  EXPECT_EQ((*sources)[0].boot, "third");
  EXPECT_TRUE((*sources)[0].head.has_value());
  EXPECT_EQ(GapsText("n", ""), "2-4");
  EXPECT_EQ(store_->Digests("n", 10, Soon())->size(), 1u);
  clock_.Advance(absl::Hours(1'000));
  ASSERT_TRUE(store_->DeleteBefore(absl::ToUnixNanos(clock_.Now()), nullptr, Soon()).ok());
  EXPECT_EQ(OnlySource().boot, "third");
}

}  // namespace
}  // namespace lattice::control
