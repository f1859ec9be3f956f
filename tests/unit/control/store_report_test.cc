// The roll-ups against sums over all events in memory.
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "tests/testing/seed.h"
#include "tests/unit/control/store_suite.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

using ::testing::IsEmpty;

class StoreReport : public StoreTest {};

// What `event` adds, when the largest totals of its flow before it are `totals`.
struct Reference {
  std::map<std::string, int64_t> totals;
  int64_t Bytes(const FlowEvent& event) {
    if (event.event == "denied") return event.bytes;
    int64_t& total = totals[event.flow_id];
    const int64_t more = std::max<int64_t>(0, event.bytes - total);
    total += more;
    return more;
  }
};

TEST_F(StoreReport, CountsTheBytesOfAFlowOnceInWhateverOrderItsRecordsCome) {
  FlowEvent start = Event(1), update = Event(2), end = Event(3);
  update.flow_id = end.flow_id = start.flow_id;
  start.bytes = start.bytes_out = 60;
  update.bytes = update.bytes_out = 1'000;
  end.bytes = end.bytes_out = 1'500;
  update.event = "update";
  end.event = "end";
  std::vector<FlowEvent> order = {start, update, end};
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; });
  int permutation = 0;
  do {
    for (const bool one_batch : {false, true}) {
      std::vector<FlowEvent> events = order;
      const std::string name = absl::StrCat("agent", permutation++);
      for (FlowEvent& event : events) {
        event.agent_id = name;
        event.flow_id = name;
        event.event_id += name;
      }
      if (one_batch) {
        Append(events);
      } else {
        for (const FlowEvent& event : events) Append({event});
      }
      Append(events);  // delivered again
      auto agents = store_->Agents({.agents = {{name}}}, Soon());
      ASSERT_TRUE(agents.ok()) << agents.status();
      EXPECT_EQ((*agents)[0].bytes, 1'500u) << name;
      EXPECT_EQ((*agents)[0].flows, 1u) << name;
    }
  } while (
      std::next_permutation(order.begin(), order.end(), [](const auto& a, const auto& b) { return a.seq < b.seq; }));
}

TEST_F(StoreReport, SumsAreThoseOverAllEvents) {
  std::mt19937_64 random(testing::TestSeed());
  const std::vector<FlowEvent> events = RandomEvents(random, 1'500);
  for (size_t at = 0; at < events.size(); at += 100) {
    Append({events.begin() + static_cast<int64_t>(at), events.begin() + static_cast<int64_t>(at) + 100});
  }
  const int64_t ranges[][2] = {
      {kT0, kT0 + 4 * kHour},
      {kT0 + 7 * kMinute, kT0 + 3 * kHour + 11 * kMinute},
      {kT0 + 7 * kMinute, kT0 + 9 * kMinute},
      {kT0 + 50 * kMinute, kT0 + 70 * kMinute},
      // Hours of which more is in the range than not, at either end, at both, and the same one.
      {kT0 + 7 * kMinute, kT0 + 2 * kHour + 50 * kMinute},
      {kT0 + 40 * kMinute, kT0 + 3 * kHour + 50 * kMinute},
      {kT0 + 65 * kMinute, kT0 + 115 * kMinute}};
  for (const auto& [from, to] : ranges) {
    for (const auto& [by_agent, by_port] : {std::pair(false, false), std::pair(true, true), std::pair(false, true)}) {
      FlowFilter filter{.from_ns = from, .to_ns = to};
      if (by_agent) filter.agents = {{"agent1"}, {"agent2"}};
      if (by_port) filter.ports = {{"443", true}};
      Reference reference;
      std::map<std::string, TopEntry> by[4];
      std::map<int64_t, TimelinePoint> timeline;
      using HintKey = std::tuple<std::string, std::string, int64_t, std::string>;
      std::map<HintKey, uint64_t> hints;
      for (const FlowEvent& event : events) {
        const int64_t bytes = reference.Bytes(event);
        if (event.ts_ns < from || event.ts_ns >= to) continue;
        if (by_port && event.dst_port == 443) continue;
        if (by_agent && event.agent_id != "agent1" && event.agent_id != "agent2") continue;
        const bool denied = event.event == "denied";
        const bool start = event.event == "start";
        int i = 0;
        for (const std::string& key : {event.dst_ip, event.agent_id, absl::StrCat(event.dst_port), event.rule}) {
          TopEntry& entry = by[i++][key];
          entry.key = key;
          entry.bytes += static_cast<uint64_t>(bytes);
          entry.flows += start;
          entry.denied += denied;
        }
        TimelinePoint& point = timeline[BucketOf(event.ts_ns, kMinute)];
        point.allowed += start;
        point.denied += denied;
        point.bytes += static_cast<uint64_t>(bytes);
        if (denied) ++hints[{event.agent_id, event.dst_ip, event.dst_port, event.protocol}];
      }
      int i = 0;
      for (const TopBy which : {TopBy::kDestination, TopBy::kAgent, TopBy::kPort, TopBy::kRule}) {
        auto top = store_->Top(filter, which, TopMetric::kBytes, 1000, Soon());
        ASSERT_TRUE(top.ok()) << top.status();
        EXPECT_EQ(top->size(), by[i].size());
        EXPECT_TRUE(std::is_sorted(top->begin(), top->end(), [](auto& a, auto& b) { return a.bytes > b.bytes; }));
        for (const TopEntry& entry : *top) {
          const TopEntry& wanted = by[i][entry.key];
          EXPECT_EQ(std::tie(entry.bytes, entry.flows, entry.denied),
                    std::tie(wanted.bytes, wanted.flows, wanted.denied))
              << entry.key;
        }
        ++i;
      }
      auto points = store_->Timeline(filter, 400, Soon());
      ASSERT_TRUE(points.ok()) << points.status();
      EXPECT_EQ(points->size(), static_cast<size_t>((to - from) / kMinute));
      for (const TimelinePoint& point : *points) {
        const TimelinePoint& wanted = timeline[point.minute_ns];
        EXPECT_EQ(std::tie(point.allowed, point.denied, point.bytes),
                  std::tie(wanted.allowed, wanted.denied, wanted.bytes));
      }
      auto few = store_->Timeline(filter, 3, Soon());
      TimelinePoint sum, all;
      for (const TimelinePoint& point : *few) sum.allowed += point.allowed, sum.bytes += point.bytes;
      for (const auto& [at, point] : timeline) all.allowed += point.allowed, all.bytes += point.bytes;
      EXPECT_EQ(std::tie(sum.allowed, sum.bytes), std::tie(all.allowed, all.bytes));
      auto found = store_->Hints(filter, 1000, Soon());
      ASSERT_TRUE(found.ok()) << found.status();
      EXPECT_EQ(found->size(), hints.size());
      for (const Hint& hint : *found) {
        EXPECT_EQ(hint.attempts, (hints[{hint.agent_id, hint.dst_ip, hint.dst_port, hint.protocol}]));
      }
    }
  }
}

TEST_F(StoreReport, HintsNameTheRuleThatWouldHaveAllowedIt) {
  std::vector<FlowEvent> events = Events({1, 2, 3, 4});
  for (FlowEvent& event : events) event.event = "denied", event.verdict = "drop", event.reason = "no_rule";
  events[0].host = "old.example";
  events[1].host = "new.example";
  events[1].reason = "deny_rule";
  events[2].dst_ip = "2001:db8::7";
  events[2].protocol = "udp";
  events[3].dst_ip = "192.0.2.9";
  events[3].protocol = "icmp";
  Append(events);
  auto hints = store_->Hints({.from_ns = kT0, .to_ns = kT0 + kHour}, 10, Soon());
  ASSERT_TRUE(hints.ok()) << hints.status();
  ASSERT_EQ(hints->size(), 3u);
  EXPECT_EQ((*hints)[0].attempts, 2u);
  EXPECT_EQ((*hints)[0].rule, "192.0.2.7/32:443/tcp");
  EXPECT_EQ((*hints)[0].host, "new.example");
  EXPECT_EQ((*hints)[0].reason, "deny_rule");
  EXPECT_EQ((*hints)[0].last_ns, kT0 + 2 * kSecond);
  EXPECT_EQ((*hints)[1].rule, "192.0.2.9/32:icmp");
  EXPECT_EQ((*hints)[2].rule, "[2001:db8::7]/128:443/udp");
}

// To the end of what nanoseconds reach: the next bucket's begin would be over it.
TEST_F(StoreReport, ATimelineOfAllTimesHasABoundedNumberOfPoints) {
  Append({Event(1)});
  for (const size_t buckets : {1u, 60u, 500u}) {
    for (const int64_t from : {int64_t{0}, std::numeric_limits<int64_t>::min(), kT0}) {
      const auto points =
          store_->Timeline({.from_ns = from, .to_ns = std::numeric_limits<int64_t>::max()}, buckets, Soon());
      if (points.ok()) {
        EXPECT_LE(points->size(), buckets + 2);
      } else {
        EXPECT_TRUE(absl::IsInvalidArgument(points.status())) << points.status();
      }
    }
  }
}

TEST_F(StoreReport, RefusesAFilterThatTheRollUpDoesNotKnow) {
  const FlowFilter filter{.from_ns = kT0, .to_ns = kT0 + kHour, .hosts = {{"x"}}};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Timeline(filter, 10, Soon()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Top(filter, TopBy::kAgent, TopMetric::kBytes, 10, Soon()).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Hints(filter, 10, Soon()).status()));
}

}  // namespace
}  // namespace lattice::control
