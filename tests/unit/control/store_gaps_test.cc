// Holes in the numbers: opened, split, closed, explained. First the rules alone, then through the store.
#include "userspace/control/audit/store_gaps.h"

#include <algorithm>
#include <set>

#include "tests/testing/seed.h"
#include "tests/unit/control/store_suite.h"

namespace lattice::control {
namespace {

using ::testing::ElementsAre;

std::string Text(const SourceNumbers& numbers) {
  std::string text;
  for (const auto& [first, hole] : numbers.Added()) {
    absl::StrAppend(&text, text.empty() ? "" : " ", first, "-", hole.last, hole.explained_by.empty() ? "" : "*");
  }
  return text;
}

TEST(SourceNumbers, OpensSplitsAndClosesAHole) {
  SourceNumbers numbers(/*node_is_known=*/false);
  numbers.Arrive(5, 6, 0);
  EXPECT_EQ(Text(numbers), "");
  numbers.Arrive(10, 10, 0);
  EXPECT_EQ(Text(numbers), "7-9");
  EXPECT_EQ(numbers.missing(), 3u);
  numbers.Arrive(8, 8, 0);
  EXPECT_EQ(Text(numbers), "7-7 9-9");
  numbers.Arrive(7, 7, 0);
  numbers.Arrive(9, 9, 0);
  EXPECT_EQ(Text(numbers), "");
  EXPECT_EQ(numbers.missing(), 0u);
}

TEST(SourceNumbers, BeginsAtOneWhenTheNodeIsKnown) {
  SourceNumbers numbers(/*node_is_known=*/true);
  numbers.Arrive(4, 4, 0);
  EXPECT_EQ(Text(numbers), "1-3");
  EXPECT_EQ(numbers.first(), 1);
}

TEST(SourceNumbers, ExtendsBackwardsWhenAnEarlierBatchComesLate) {
  SourceNumbers numbers(/*node_is_known=*/false);
  numbers.Arrive(501, 600, 0);
  numbers.Arrive(1, 400, 0);
  EXPECT_EQ(Text(numbers), "401-500");
  EXPECT_EQ(numbers.first(), 1);
  EXPECT_EQ(numbers.last(), 600);
}

TEST(SourceNumbers, ALossEventExplainsAHoleInPart) {
  SourceNumbers numbers(/*node_is_known=*/false);
  numbers.Arrive(1, 1, 0);
  numbers.Arrive(10, 10, 0);
  numbers.Lose(3, 5, 3, "e", 0);
  EXPECT_EQ(Text(numbers), "2-2 3-5* 6-9");
  EXPECT_EQ(numbers.missing(), 5u);
  EXPECT_EQ(numbers.lost(), 3u);
  numbers.Lose(3, 5, 3, "again", 0);
  EXPECT_EQ(numbers.lost(), 3u);
  numbers.Arrive(4, 4, 0);  // not lost after all
  EXPECT_EQ(Text(numbers), "2-2 3-3* 5-5* 6-9");
  EXPECT_EQ(numbers.lost(), 2u);
}

TEST(SourceNumbers, ALossEventNamesNumbersBeyondTheLastOne) {
  SourceNumbers numbers(/*node_is_known=*/false);
  numbers.Arrive(1, 5, 0);
  numbers.Lose(4, 9, 6, "e", 0);
  EXPECT_EQ(Text(numbers), "6-9*");
  EXPECT_EQ(numbers.last(), 9);
  EXPECT_EQ(numbers.lost(), 4u);  // 4 and 5 are here
  numbers.Lose(20, 21, 2, "f", 0);
  EXPECT_EQ(Text(numbers), "6-9* 10-19 20-21*");
  numbers.Lose(0, 0, 7, "g", 0);
  EXPECT_EQ(numbers.lost(), 13u);
}

TEST(SourceNumbers, AreWhatASetOfNumbersSays) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 300; ++round) {
    SourceNumbers numbers(/*node_is_known=*/true);
    std::set<int64_t> come, explained;
    int64_t last = 0;
    for (int step = 0; step < 30; ++step) {
      const int64_t first = 1 + static_cast<int64_t>(random() % 60);
      const int64_t end = std::min<int64_t>(64, first + static_cast<int64_t>(random() % 6));
      last = std::max(last, end);
      if (random() % 4 == 0) {
        numbers.Lose(first, end, end - first + 1, "e", 0);
        for (int64_t seq = first; seq <= end; ++seq) {
          if (!come.contains(seq)) explained.insert(seq);
        }
        continue;
      }
      for (int64_t seq = first; seq <= end; ++seq) {
        if (!come.insert(seq).second) continue;
        numbers.Arrive(seq, seq, 0);
        explained.erase(seq);
      }
    }
    uint64_t missing = 0;
    std::set<int64_t> holes, starred;
    for (int64_t seq = 1; seq <= last; ++seq) missing += come.contains(seq) || explained.contains(seq) ? 0 : 1;
    for (const auto& [first, hole] : numbers.Added()) {
      for (int64_t seq = first; seq <= hole.last; ++seq) {
        EXPECT_TRUE(holes.insert(seq).second) << seq;
        if (!hole.explained_by.empty()) starred.insert(seq);
      }
    }
    EXPECT_EQ(numbers.missing(), missing);
    EXPECT_EQ(numbers.lost(), explained.size());
    EXPECT_EQ(starred, explained);
    EXPECT_EQ(holes.size(), missing + explained.size());
    EXPECT_EQ(numbers.last(), last);
  }
}

// Records come in when they are made.
class StoreGaps : public StoreTest {
 protected:
  StoreGaps() { clock_.SetWall(absl::FromUnixNanos(kT0)); }
};

TEST_F(StoreGaps, AHoleIsARowUntilItsRecordsCome) {
  Append(Events({1, 2, 6}));
  EXPECT_EQ(GapsText(), "3-5");
  Append(Events({9, 4}));
  EXPECT_EQ(GapsText(), "3-3 5-5 7-8");
  EXPECT_EQ(OnlySource().missing, 4u);
  EXPECT_EQ(store_->ReadCompleteness(Soon())->gaps, 4u);
  Append(Events({8, 3, 7, 5}));
  EXPECT_EQ(GapsText(), "");
  const Source source = OnlySource();
  EXPECT_EQ(source.missing, 0u);
  EXPECT_EQ(source.stored, 9u);
  EXPECT_EQ(source.first_seq, 1);
  EXPECT_EQ(source.last_seq, 9);
  EXPECT_EQ(source.last_ts_ns, kT0 + 9 * kSecond);
  EXPECT_EQ(source.last_seen_ns, absl::ToUnixNanos(clock_.Now()));
}

TEST_F(StoreGaps, LossEventsExplainHoles) {
  Append(Events({1, 2, 10}));
  Append({Loss(11, 4, 8, 5)});
  EXPECT_EQ(GapsText(), "3-3 4-8* 9-9");
  const Completeness completeness = *store_->ReadCompleteness(Soon());
  EXPECT_EQ(completeness.gaps, 2u);
  EXPECT_EQ(completeness.lost, 5u);
  EXPECT_EQ(completeness.watermark_ns, kT0 + 11 * kSecond);
  Append({Loss(11, 4, 8, 5)});  // delivered twice
  EXPECT_EQ(store_->ReadCompleteness(Soon())->lost, 5u);
  EXPECT_EQ((*store_->Gaps("n", "b", 10, Soon()))[1].explained_by, "n/b/11");
}

TEST_F(StoreGaps, ALossEventMayNameAnotherBoot) {
  Append(Events({1, 2}));
  FlowEvent loss = Loss(1, 3, 7, 5, "b");
  loss.boot = "next";
  loss.event_id = "n/next/1";
  Append({loss});
  EXPECT_EQ(GapsText("n", "b"), "3-7*");
  EXPECT_EQ(GapsText("n", "next"), "");
}

TEST_F(StoreGaps, ANodeThatIsNewToTheStoreBeginsWhereItBegins) {
  Append(Events({500, 501}));
  EXPECT_EQ(GapsText(), "");
  FlowEvent event = Event(3, "n", "second");
  Append({event});
  EXPECT_EQ(GapsText("n", "second"), "1-2");
}

TEST_F(StoreGaps, TheFirstBatchOfANewNodeMayHoldTwoBoots) {
  FlowEvent old = Event(500, "n", "z"), young = Event(1, "n", "a");
  old.ts_ns = kT0;
  young.ts_ns = kT0 + kSecond;
  Append({young, old});
  EXPECT_EQ(GapsText("n", "z"), "");
  EXPECT_EQ(GapsText("n", "a"), "");
}

TEST_F(StoreGaps, TheWatermarkIsThatOfTheSlowestRecentNode) {
  Append({Event(1, "slow"), Event(9, "fast")});
  EXPECT_EQ(store_->ReadCompleteness(Soon())->watermark_ns, kT0 + kSecond);
  clock_.Advance(absl::Hours(2));
  EXPECT_EQ(store_->ReadCompleteness(Soon())->watermark_ns, 0);
  FlowEvent now = Event(10, "fast"), wrong_clock = Event(1, "in 1970");
  now.ts_ns = absl::ToUnixNanos(clock_.Now());
  wrong_clock.ts_ns = kSecond;
  Append({now, wrong_clock});
  EXPECT_EQ(store_->ReadCompleteness(Soon())->watermark_ns, now.ts_ns);
}

}  // namespace
}  // namespace lattice::control
