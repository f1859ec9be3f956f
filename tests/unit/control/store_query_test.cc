// Query(): pages and filters against a plain walk over all events in memory.
#include <algorithm>
#include <functional>
#include <utility>

#include "tests/testing/seed.h"
#include "tests/unit/control/store_suite.h"
#include "userspace/base/ip.h"

namespace lattice::control {
namespace {

using ::testing::IsEmpty;

bool TermsMatch(const std::vector<Term>& terms, const std::string& value) {
  bool any = false, matched = false;
  for (const Term& term : terms) {
    if (term.negate && term.value == value) return false;
    if (term.negate) continue;
    any = true;
    matched |= term.value == value;
  }
  return !any || matched;
}

bool NetworksMatch(const std::vector<Network>& networks, const std::string& text) {
  const auto address = IpAddress::Parse(text);
  bool any = false, matched = false;
  for (const Network& network : networks) {
    const bool inside = address.ok() && IpPrefix::Parse(network.cidr)->Contains(*address);
    if (network.negate && inside) return false;
    if (network.negate) continue;
    any = true;
    matched |= inside;
  }
  return !any || matched;
}

bool Matches(const FlowFilter& f, const FlowEvent& e) {
  return (!f.from_ns || e.ts_ns >= *f.from_ns) && (!f.to_ns || e.ts_ns < *f.to_ns) &&
         TermsMatch(f.agents, e.agent_id) && TermsMatch(f.verdicts, e.verdict) &&
         TermsMatch(f.directions, e.direction) && TermsMatch(f.protocols, e.protocol) &&
         TermsMatch(f.ports, absl::StrCat(e.dst_port)) && TermsMatch(f.rules, e.rule) &&
         TermsMatch(f.trace_ids, e.trace_id) && TermsMatch(f.events, e.event) && TermsMatch(f.hosts, e.host) &&
         TermsMatch(f.nodes, e.node) && TermsMatch(f.reasons, e.reason) && NetworksMatch(f.destinations, e.dst_ip) &&
         NetworksMatch(f.sources, e.src_ip);
}

class StoreQuery : public StoreTest {
 protected:
  void Fill(uint64_t seed, size_t count) {
    std::mt19937_64 random(seed);
    std::vector<FlowEvent> events = RandomEvents(random, count);
    for (FlowEvent& event : events) event.ts_ns = kT0 + static_cast<int64_t>(random() % 40) * kMinute;  // many equal
    Append(std::move(events));
    all_ = All();
    ASSERT_EQ(all_.size(), count);
  }
  // All pages of `limit`, in the order of the query.
  std::vector<FlowEvent> Pages(FlowQuery query) {
    std::vector<FlowEvent> found;
    while (true) {
      auto page = store_->Query(query, Soon());
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) return found;
      EXPECT_LE(page->events.size(), query.limit);
      found.insert(found.end(), page->events.begin(), page->events.end());
      if (!page->next) return found;
      EXPECT_EQ(page->events.size(), query.limit);
      query.after = page->next;
    }
  }
  std::vector<std::string> Wanted(const FlowFilter& filter, bool ascending) {
    std::vector<std::pair<int64_t, std::string>> keys;
    for (const FlowEvent& event : all_) {
      if (Matches(filter, event)) keys.emplace_back(event.ts_ns, event.id);
    }
    std::sort(keys.begin(), keys.end());
    if (!ascending) std::reverse(keys.begin(), keys.end());
    std::vector<std::string> ids;
    for (auto& [ts, id] : keys) ids.push_back(std::move(id));
    return ids;
  }
  void ExpectSame(const FlowFilter& filter, const std::string& what) {
    for (const bool ascending : {false, true}) {
      std::vector<std::string> found;
      for (const FlowEvent& event : Pages({.filter = filter, .ascending = ascending, .limit = 17})) {
        found.push_back(event.id);
      }
      EXPECT_EQ(found, Wanted(filter, ascending)) << what;
    }
  }
  std::vector<FlowEvent> all_;
};

TEST_F(StoreQuery, PagesAreTheSortedListInPieces) {
  Fill(testing::TestSeed(), 300);
  for (const size_t limit : {1, 7, 100, 300, 1000}) {
    for (const bool ascending : {false, true}) {
      std::vector<std::string> found;
      for (const FlowEvent& event : Pages({.ascending = ascending, .limit = limit})) found.push_back(event.id);
      EXPECT_EQ(found, Wanted({}, ascending)) << limit;
    }
  }
}

TEST_F(StoreQuery, EveryTermIsWhatAPlainFilterSays) {
  const uint64_t seed = testing::TestSeed();
  Fill(seed, 300);
  const std::vector<std::pair<std::string, std::vector<Term> FlowFilter::*>> fields = {
      {"agents", &FlowFilter::agents},         {"verdicts", &FlowFilter::verdicts},
      {"directions", &FlowFilter::directions}, {"protocols", &FlowFilter::protocols},
      {"ports", &FlowFilter::ports},           {"rules", &FlowFilter::rules},
      {"traces", &FlowFilter::trace_ids},      {"events", &FlowFilter::events},
      {"hosts", &FlowFilter::hosts},           {"nodes", &FlowFilter::nodes},
      {"reasons", &FlowFilter::reasons}};
  const std::vector<std::function<std::string(const FlowEvent&)>> values = {
      [](const FlowEvent& e) { return e.agent_id; },
      [](const FlowEvent& e) { return e.verdict; },
      [](const FlowEvent& e) { return e.direction; },
      [](const FlowEvent& e) { return e.protocol; },
      [](const FlowEvent& e) { return absl::StrCat(e.dst_port); },
      [](const FlowEvent& e) { return e.rule; },
      [](const FlowEvent& e) { return e.trace_id; },
      [](const FlowEvent& e) { return e.event; },
      [](const FlowEvent& e) { return e.host; },
      [](const FlowEvent& e) { return e.node; },
      [](const FlowEvent& e) { return e.reason; }};
  std::mt19937_64 random(seed);
  const auto any_value = [&](size_t field) { return values[field](all_[random() % all_.size()]); };
  const char* const networks[] = {"10.0.0.0/24", "10.0.0.0/8",    "0.0.0.0/0", "::/0",         "10.0.0.255/32",
                                  "::a00:1/128", "2001:db8::/32", "::/96",     "192.0.2.0/30", "2001:db8::1/128"};
  const auto any_network = [&] { return std::string(networks[random() % std::size(networks)]); };
  for (size_t field = 0; field < fields.size(); ++field) {
    for (const bool negate : {false, true}) {
      FlowFilter filter;
      (filter.*fields[field].second) = {{any_value(field), negate}};
      ExpectSame(filter, fields[field].first);
      (filter.*fields[field].second).push_back({any_value(field), negate});
      ExpectSame(filter, fields[field].first + " twice");
      (filter.*fields[field].second).push_back({any_value(field), !negate});
      ExpectSame(filter, fields[field].first + " mixed");
    }
  }
  for (const char* network : networks) {
    for (const bool negate : {false, true}) {
      ExpectSame({.destinations = {{network, negate}}}, network);
      ExpectSame({.sources = {{network, negate}}}, network);
      ExpectSame({.destinations = {{network, negate}, {any_network(), false}}}, network);
    }
  }
  for (int round = 0; round < 60; ++round) {
    FlowFilter filter;
    for (int terms = 0; terms < 3; ++terms) {
      const size_t field = random() % (fields.size() + 1);
      if (field == fields.size()) {
        filter.destinations.push_back({any_network(), random() % 3 == 0});
      } else {
        (filter.*fields[field].second).push_back({any_value(field), random() % 3 == 0});
      }
    }
    if (random() % 2 == 0) filter.from_ns = kT0 + static_cast<int64_t>(random() % 40) * kMinute;
    if (random() % 2 == 0) filter.to_ns = kT0 + static_cast<int64_t>(random() % 40) * kMinute;
    ExpectSame(filter, "random");
  }
}

TEST_F(StoreQuery, TermsThatAreFrequentAloneAreFoundTogether) {
  const uint64_t seed = testing::TestSeed();
  Fill(seed, 4'000);
  ExpectSame({.agents = {{"agent1"}}, .ports = {{"443"}}}, "agent and port");
  ExpectSame({.agents = {{"agent1"}, {"agent2"}}, .ports = {{"443"}, {"441"}}, .rules = {{"rule1"}}}, "three");
  ExpectSame({.from_ns = kT0 + 5 * kMinute,
              .to_ns = kT0 + 9 * kMinute,
              .verdicts = {{"drop"}},
              .destinations = {{"10.0.0.0/24"}}},
             "denied network");
  ExpectSame({.ports = {{"443"}}, .destinations = {{"10.0.0.1/32"}, {"2001:db8::1/128"}}}, "addresses and port");
}

TEST_F(StoreQuery, FindsTheRowsOfANodeThatIsGone) {
  FlowEvent early = Event(1, "gone"), before_1970 = Event(1, "old");
  before_1970.ts_ns = -kHour;
  Append({early, before_1970, Event(9, "here")});
  EXPECT_EQ(All({.nodes = {{"gone"}}}).size(), 1u);
  EXPECT_EQ(All({.nodes = {{"old"}}}).size(), 1u);
  EXPECT_EQ(All({.nodes = {{"old"}, {"gone"}, {"nobody"}}}).size(), 2u);
  EXPECT_THAT(All({.nodes = {{"nobody"}}}), IsEmpty());
}

TEST_F(StoreQuery, NamesWhatIsNoPortAndNoNetwork) {
  FlowFilter port{.ports = {{"http"}}};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Query({.filter = port}, Soon()).status()));
  FlowFilter network{.destinations = {{"10.0.0.0/33"}}};
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Query({.filter = network}, Soon()).status()));
}

TEST_F(StoreQuery, FiltersWithTextsThatNoRowHasFindNothing) {
  Append(Events({1}));
  FlowFilter filter{.agents = {{std::string("a\0\xff", 3)}}, .hosts = {{std::string(100'000, 'x')}}};
  EXPECT_THAT(All(filter), IsEmpty());
}

TEST_F(StoreQuery, IsEndedAtItsDeadline) {
  std::mt19937_64 random(1);
  std::vector<FlowEvent> events = RandomEvents(random, 3'000);
  Append(std::move(events));
  auto result = store_->Query({.filter = {.agents = {{"agent1", true}}}}, absl::Now() - absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(result.status())) << result.status();
  EXPECT_TRUE(store_->Query({}, Soon()).ok());
}

}  // namespace
}  // namespace lattice::control
