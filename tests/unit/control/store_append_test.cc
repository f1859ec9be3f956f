// What Append() promises of events, rejects and heads.
#include <algorithm>
#include <set>
#include <thread>

#include "absl/strings/escaping.h"
#include "tests/testing/seed.h"
#include "tests/unit/control/store_suite.h"

namespace lattice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class StoreAppend : public StoreTest {};

// Another value in every field.
FlowEvent FullEvent() {
  FlowEvent e = Event(7);
  e.trace_id = "trace", e.bytes = 30, e.src_port = 40'000, e.iface = "wg0", e.scope = "iface", e.mode = "enforce";
  e.bytes_out = 10, e.bytes_in = 20, e.packets_out = 1, e.packets_in = 2, e.start_ns = kT0 + 1, e.duration_ms = 12;
  e.end_reason = "fin", e.policy_generation = 3, e.policy_hash = "hash", e.host = "example.com", e.cgroup = "/a/b";
  e.pid = 4711, e.comm = "curl", e.stage = "disk", e.lost_count = 5, e.lost_from_ns = kT0 + 2, e.lost_to_ns = kT0 + 3;
  e.lost_first_seq = 100, e.lost_last_seq = 104, e.lost_boot = "old";
  return e;
}

TEST_F(StoreAppend, KeepsEveryField) {
  FlowEvent event = FullEvent();
  EXPECT_EQ(Append({event}).stored, 1u);
  auto found = store_->ByEventId(event.event_id, Soon());
  ASSERT_TRUE(found.ok()) << found.status();
  ASSERT_TRUE(found->has_value());
  EXPECT_EQ((*found)->id.size(), 36u);
  event.id = (*found)->id;
  EXPECT_EQ(**found, event);
  EXPECT_THAT(All(), ElementsAre(event));
  EXPECT_FALSE((*store_->ByEventId("n/b/8", Soon())).has_value());
}

TEST_F(StoreAppend, StoresDuplicatesOnceWithinABatchAndAcrossBatches) {
  std::vector<FlowEvent> events = Events({1, 2, 2, 1, 3});
  IngestResult first = Append(events);
  EXPECT_EQ(first.stored, 3u);
  EXPECT_EQ(first.duplicates, 2u);
  EXPECT_THAT(first.fresh, ElementsAre(0, 1, 4));
  events.push_back(Event(4));
  IngestResult second = Append(events);
  EXPECT_EQ(second.stored, 1u);
  EXPECT_EQ(second.duplicates, 5u);
  EXPECT_THAT(second.fresh, ElementsAre(5));
  EXPECT_EQ(All().size(), 4u);
  EXPECT_EQ(OnlySource().stored, 4u);
  auto top = store_->Top({}, TopBy::kAgent, TopMetric::kFlows, 10, Soon());
  ASSERT_TRUE(top.ok()) << top.status();
  EXPECT_EQ((*top)[0].flows, 4u);
}

TEST_F(StoreAppend, GivesIdsThatAscendInTheOrderOfArrival) {
  for (int64_t seq = 1; seq <= 3; ++seq) Append(Events({2 * seq, 2 * seq - 1}));
  auto arrived =
      store_->Arrived({}, RowIdAt(absl::Now() - absl::Hours(1)), RowIdAt(absl::Now() + absl::Hours(1)), 100, Soon());
  ASSERT_TRUE(arrived.ok()) << arrived.status();
  std::vector<int64_t> seqs;
  for (const FlowEvent& event : *arrived) seqs.push_back(event.seq);
  EXPECT_THAT(seqs, ElementsAre(2, 1, 4, 3, 6, 5));
  auto rest = store_->Arrived({}, (*arrived)[3].id, RowIdAt(absl::Now() + absl::Hours(1)), 1, Soon());
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ((*rest)[0].seq, 6);
  EXPECT_THAT(*store_->Arrived({}, RowIdAt(absl::Now() + absl::Hours(1)), RowIdAt(absl::InfiniteFuture()), 9, Soon()),
              IsEmpty());
}

TEST_F(StoreAppend, ReplacesBytesThatAreNoText) {
  FlowEvent event = Event(1);
  event.comm = std::string("a\0b", 3);
  event.host = "\xff\xc3\x28 \xed\xa0\x80 \xf4\x90\x80\x80 caf\xc3\xa9 \xf0\x9f\x90\x9f \xe2\x82";
  event.cgroup = std::string(10'000, 'x');
  event.event_id = "n/b/\xff";
  FlowEvent other = Event(2);
  other.event_id = "n/b/\xfe";  // would be the same text
  EXPECT_EQ(Append({event, other}).stored, 2u);
  auto found = store_->ByEventId("n/b/\xff", Soon());
  ASSERT_TRUE(found.ok() && found->has_value()) << found.status();
  const std::string bad = "\xEF\xBF\xBD";
  EXPECT_EQ((*found)->comm, "a" + bad + "b");
  EXPECT_EQ((*found)->host, bad + bad + "( " + bad + bad + bad + " " + bad + bad + bad + bad +
                                " caf\xc3\xa9 \xf0\x9f\x90\x9f " + bad + bad);
  EXPECT_EQ((*found)->cgroup.size(), 4096u);
  EXPECT_EQ(Append({event, other}).duplicates, 2u);
  FlowFilter filter{.hosts = {{event.host}}};
  EXPECT_EQ(All(filter).size(), 1u);
}

TEST_F(StoreAppend, TakesValuesForValues) {
  const std::string evil = "'; DROP TABLE la_flow_events; -- \" ? $1 \\";
  FlowEvent event = Event(1);
  event.agent_id = event.trace_id = event.direction = event.dst_ip = event.verdict = event.reason = event.rule =
      event.protocol = event.host = event.flow_id = evil;
  event.direction.resize(32);
  event.verdict.resize(32);
  event.protocol.resize(32);
  EXPECT_EQ(Append({event}).stored, 1u);
  ASSERT_EQ(All().size(), 1u);
  EXPECT_EQ(All()[0].agent_id, evil);
  FlowFilter filter{
      .agents = {{evil}}, .rules = {{evil}}, .trace_ids = {{evil}}, .hosts = {{evil}}, .reasons = {{evil}}};
  EXPECT_EQ(All(filter).size(), 1u);
  filter.agents = {{"' OR 1=1 --"}};
  EXPECT_THAT(All(filter), IsEmpty());
  EXPECT_EQ(All().size(), 1u);
}

TEST_F(StoreAppend, SurvivesForgedNumbers) {
  FlowEvent event = Event(1);
  event.bytes = event.bytes_in = event.bytes_out = event.packets_in = event.packets_out = INT64_MAX;
  event.ts_ns = event.start_ns = INT64_MAX;
  event.pid = INT64_MIN;
  event.lost_first_seq = event.lost_last_seq = INT64_MAX;
  for (int64_t seq = 1; seq <= 40; ++seq) {
    event.event_id = absl::StrCat("forged/", seq);
    event.seq = INT64_MAX - seq;
    event.event = seq % 2 == 0 ? "denied" : "loss";
    event.ts_ns = seq % 3 == 0 ? INT64_MIN : INT64_MAX;
    EXPECT_EQ(Append({event}).stored, 1u);
  }
  EXPECT_EQ(All().size(), 40u);
  FlowFilter always;
  EXPECT_TRUE(store_->Top(always, TopBy::kRule, TopMetric::kBytes, 10, Soon()).ok());
  EXPECT_TRUE(store_->Agents(always, Soon()).ok());
  EXPECT_TRUE(store_->Hints(always, 10, Soon()).ok());
  EXPECT_TRUE(store_->ReadCompleteness(Soon()).ok());
}

TEST_F(StoreAppend, RefusesAnEventWithoutId) {
  FlowEvent event = Event(1);
  event.event_id.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Append({.events = {Event(2), event}}).status()));
  EXPECT_THAT(All(), IsEmpty());
}

TEST_F(StoreAppend, KeepsRejectsRawAndOnce) {
  Reject reject{.reason = "malformed",
                .detail = "no JSON",
                .subject = "lattice.audit.flow",
                .payload = std::string("\0\xff{", 3),
                .stream_seq = 9,
                .stream_time_ns = kT0};
  Reject other = reject;
  other.stream_seq = 10;
  auto result = store_->Append({.rejects = {reject, other, reject}});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->rejected, 2u);
  EXPECT_EQ(result->duplicates, 1u);
  auto rejects = store_->Rejects(10, Soon());
  ASSERT_EQ(rejects->size(), 2u);
  EXPECT_EQ((*rejects)[0].stream_seq, 10u);
  EXPECT_EQ((*rejects)[1].payload, reject.payload);
  EXPECT_EQ((*rejects)[1].detail, "no JSON");
}

TEST_F(StoreAppend, KeepsABoundedNumberOfRejects) {
  Reopen({.max_rejects = 3});
  for (uint64_t seq = 1; seq <= 5; ++seq) {
    clock_.Advance(absl::Seconds(1));
    ASSERT_TRUE(store_->Append({.rejects = {{.reason = "malformed", .stream_seq = seq}}}).ok());
  }
  auto rejects = store_->Rejects(10, Soon());
  ASSERT_EQ(rejects->size(), 3u);
  EXPECT_EQ(rejects->back().stream_seq, 3u);
}

TEST_F(StoreAppend, KeepsTheFirstWordAboutANumberOfTheChain) {
  Append({Event(1)});
  const AuditHead head{.node = "n", .boot = "b", .agent_id = "agent", .seq = 10, .h = "aa", .ts_ns = kT0};
  AuditHead changed = head, older = head, newer = head;
  changed.h = "bb";
  older.seq = 9;
  newer.seq = 11;
  AuditHead closed = head;
  closed.digest = "digest text";
  closed.signature = "c2ln";
  closed.public_key = "a2V5";
  closed.signature_valid = true;
  AuditHead forged = closed;
  forged.h = "cc";
  ASSERT_TRUE(store_->Append({.heads = {head, changed, older, closed, forged}}).ok());
  ASSERT_TRUE(OnlySource().head.has_value());
  EXPECT_EQ(OnlySource().head->seq, 10);
  EXPECT_EQ(OnlySource().head->h, "aa");
  ASSERT_TRUE(store_->Append({.heads = {newer, forged}}).ok());
  EXPECT_EQ(OnlySource().head->seq, 11);
  auto digests = store_->Digests("n", 10, Soon());
  ASSERT_EQ(digests->size(), 1u);
  EXPECT_EQ((*digests)[0].h, "aa");
  EXPECT_EQ((*digests)[0].digest, "digest text");
  EXPECT_TRUE((*digests)[0].signature_valid);
  EXPECT_THAT(*store_->Digests("other", 10, Soon()), IsEmpty());
}

// Two replicas get overlapping, interleaved batches of the same stream at once.
TEST_F(StoreAppend, TwoReplicasStoreEachEventOnce) {
  std::mt19937_64 random(testing::TestSeed());
  std::vector<FlowEvent> events = RandomEvents(random, 2'000);
  for (FlowEvent& event : events) {
    event.node = absl::StrCat("n", event.seq % 3);
    event.event_id = absl::StrCat(event.node, "/b/", event.seq);
  }
  auto other_database = OpenDatabase();
  auto other = SqlFlowStore::Create(*other_database, {}, clock_);
  ASSERT_TRUE(other.ok()) << other.status();
  std::vector<std::vector<FlowEvent>> shares[2];
  for (auto& share : shares) {
    std::vector<FlowEvent> shuffled = events;
    // Nearly in order, as redeliveries make it.
    for (size_t i = 0; i + 1 < shuffled.size(); ++i) {
      std::swap(shuffled[i], shuffled[i + random() % std::min<size_t>(20, shuffled.size() - i)]);
    }
    for (size_t at = 0; at < shuffled.size(); at += 50) {
      share.emplace_back(shuffled.begin() + static_cast<int64_t>(at), shuffled.begin() + static_cast<int64_t>(at) + 50);
    }
  }
  uint64_t stored[2] = {};
  const auto run = [&](SqlFlowStore& store, int which) {
    for (const auto& batch : shares[which]) {
      auto result = store.Append({.events = batch});
      ASSERT_TRUE(result.ok()) << result.status();
      stored[which] += result->stored;
    }
  };
  std::thread second([&] { run(**other, 1); });
  run(*store_, 0);
  second.join();
  EXPECT_EQ(stored[0] + stored[1], events.size());
  std::set<std::string> wanted, found;
  for (const FlowEvent& event : events) wanted.insert(event.event_id);
  for (const FlowEvent& event : All()) EXPECT_TRUE(found.insert(event.event_id).second) << event.event_id;
  EXPECT_EQ(found, wanted);

  uint64_t total = 0, starts = 0, denied = 0;
  std::map<std::string, int64_t> flow_bytes;
  for (const FlowEvent& event : events) {
    if (event.event == "denied") {
      total += static_cast<uint64_t>(event.bytes);
      ++denied;
    } else {
      flow_bytes[event.flow_id] = std::max(flow_bytes[event.flow_id], event.bytes);
    }
    starts += event.event == "start" ? 1 : 0;
  }
  for (const auto& [flow, bytes] : flow_bytes) total += static_cast<uint64_t>(bytes);
  auto top = store_->Top({}, TopBy::kAgent, TopMetric::kBytes, 100, Soon());
  ASSERT_TRUE(top.ok());
  TopEntry sum;
  for (const TopEntry& entry : *top) {
    sum.bytes += entry.bytes;
    sum.flows += entry.flows;
    sum.denied += entry.denied;
  }
  EXPECT_EQ(sum.bytes, total);
  EXPECT_EQ(sum.flows, starts);
  EXPECT_EQ(sum.denied, denied);
  // Each node has every third number only (or fewer): what is not a hole has come.
  auto sources = store_->Sources(Soon());
  ASSERT_TRUE(sources.ok()) << sources.status();
  for (const Source& source : *sources) {
    EXPECT_EQ(source.stored + source.missing, static_cast<uint64_t>(source.last_seq - source.first_seq + 1))
        << source.node;
  }
}

TEST_F(StoreAppend, ARecordThatClaimsAnothersNumberIsARejectAndNoDuplicate) {
  FlowEvent genuine = Event(1), forged = Event(1);
  forged.agent_id = "mallory";
  auto first = store_->Append({.events = {genuine}});
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = store_->Append({.events = {forged, genuine}});
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->stored, 0u);
  EXPECT_EQ(second->duplicates, 1u);
  EXPECT_EQ(second->rejected, 1u);
  const auto rejects = store_->Rejects(10, Soon());
  ASSERT_EQ(rejects->size(), 1u);
  EXPECT_EQ((*rejects)[0].reason, "event_id_conflict");
  EXPECT_NE((*rejects)[0].payload.find("mallory"), std::string::npos);
}

IngestBatch Verified(std::vector<FlowEvent> events, std::vector<AuditHead> heads = {}) {
  static uint64_t place = 0;
  IngestBatch batch{.events = std::move(events), .heads = std::move(heads), .agents_verified = true};
  for (size_t i = 0; i < batch.events.size(); ++i) batch.places.push_back({.seq = ++place, .time_ns = kT0});
  for (AuditHead& head : batch.heads) head.place = {.seq = ++place, .time_ns = kT0};
  return batch;
}

template <typename Message>
Message Of(const std::string& agent, Message message) {
  message.agent_id = agent;
  return message;
}

TEST_F(StoreAppend, WhatAnotherAgentSaysOfASourceIsAReject) {
  const AuditHead head{.node = "n", .boot = "b", .agent_id = "agent", .seq = 9, .h = "aa", .ts_ns = kT0};
  AuditHead digest = head;
  digest.digest = "digest text";
  ASSERT_TRUE(store_->Append(Verified({Event(1), Event(5)})).ok());
  FlowEvent other_boot = Loss(1, 2, 4, 3, "b");  // explains the hole of boot b from a boot of its own
  other_boot.boot = "m";
  other_boot.event_id = "n/m/1";
  auto result = store_->Append(Verified({Of("mallory", Event(2)), Of("mallory", Event(1)), Event(6),
                                         Of("mallory", Loss(7, 2, 4, 3)), Of("mallory", other_boot)},
                                        {Of("mallory", head), Of("mallory", digest)}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stored, 1u);
  EXPECT_THAT(result->fresh, ElementsAre(2));
  EXPECT_EQ(result->rejected, 6u);
  EXPECT_EQ(result->duplicates, 0u);
  EXPECT_EQ(result->heads, 0u);
  const auto rejects = store_->Rejects(10, Soon());
  ASSERT_EQ(rejects->size(), 6u);
  for (const Reject& reject : *rejects) EXPECT_EQ(reject.reason, "source_of_another_agent");
  EXPECT_EQ(GapsText(), "2-4");
  EXPECT_THAT(*store_->Digests("n", 10, Soon()), IsEmpty());
  result = store_->Append(Verified({Event(2), Loss(7, 3, 4, 2)}, {head, digest}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stored, 2u);
  EXPECT_EQ(result->heads, 2u);
  EXPECT_EQ(GapsText(), "3-4*");
  const auto sources = store_->Sources(Soon());
  ASSERT_TRUE(sources.ok()) << sources.status();
  for (const Source& source : *sources) {
    if (source.boot != "b") continue;
    ASSERT_TRUE(source.head.has_value());
    EXPECT_EQ(source.head->agent_id, "agent");
  }
}

// The head comes before the records: it takes the source, and says nothing of what was before the store knew the node.
TEST_F(StoreAppend, AHeadTakesASourceAndOpensNoHole) {
  const AuditHead head{.node = "n", .boot = "b", .agent_id = "agent", .seq = 9, .h = "aa", .ts_ns = kT0};
  ASSERT_TRUE(store_->Append(Verified({}, {head})).ok());
  auto result = store_->Append(Verified({Of("mallory", Event(8)), Event(8)}));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->stored, 1u);
  EXPECT_EQ(result->rejected, 1u);
  EXPECT_EQ(GapsText(), "");
  EXPECT_EQ(OnlySource().agent_id, "agent");
  EXPECT_EQ(OnlySource().first_seq, 8);
}

TEST_F(StoreAppend, WithoutVerifiedAgentsASourceIsNobodys) {
  Append({Event(1)});
  EXPECT_EQ(Append({Of("other", Event(2))}).stored, 1u);
}

// Two agents name the same sources at two replicas: each source has the records of one agent only, each of the
// other's is a reject.
TEST_F(StoreAppend, OfTwoReplicasOneGivesASourceItsOwner) {
  auto other_database = OpenDatabase();
  auto other = SqlFlowStore::Create(*other_database, {}, clock_);
  ASSERT_TRUE(other.ok()) << other.status();
  constexpr int kSources = 100;
  std::vector<IngestBatch> batches[2];
  for (int which = 0; which < 2; ++which) {
    for (int i = 0; i < kSources; ++i) {
      const std::string boot = absl::StrCat("boot-", i);
      const std::string agent = which == 0 ? "agent" : "mallory";
      batches[which].push_back(
          Verified({Of(agent, Event(1 + which, "n", boot)), Of(agent, Event(3 + which, "n", boot))}));
    }
  }
  uint64_t stored[2] = {}, rejected[2] = {};
  const auto run = [&](SqlFlowStore& store, int which) {
    for (const IngestBatch& batch : batches[which]) {
      auto result = store.Append(batch);
      ASSERT_TRUE(result.ok()) << result.status();
      stored[which] += result->stored;
      rejected[which] += result->rejected;
    }
  };
  std::thread second([&] { run(**other, 1); });
  run(*store_, 0);
  second.join();
  EXPECT_EQ(stored[0] + stored[1], 2u * kSources);
  EXPECT_EQ(rejected[0] + rejected[1], 2u * kSources);
  std::map<std::string, std::set<std::string>> agents;
  for (const FlowEvent& event : All()) agents[event.boot].insert(event.agent_id);
  ASSERT_EQ(agents.size(), static_cast<size_t>(kSources));
  for (const auto& [boot, names] : agents) EXPECT_EQ(names.size(), 1u) << boot;
}

}  // namespace
}  // namespace lattice::control
