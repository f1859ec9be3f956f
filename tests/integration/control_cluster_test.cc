// Two replicas of latticed over one PostgreSQL and a NATS cluster of three, as README "How to scale out" has it, while
// parts of it are killed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/testing/audit_writer.h"
#include "tests/testing/latticed.h"
#include "tests/testing/nats_cluster.h"
#include "tests/testing/postgres.h"
#include "tests/testing/wait_until.h"
#include "userspace/nats/pull_consumer.h"

namespace lattice::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A message that was given to a reader that dies comes again after ack_wait, 30 s, each time.
constexpr absl::Duration kLong = absl::Seconds(150);

class ControlClusterTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto database = PostgresServer::Start();
    if (absl::IsNotFound(database.status())) GTEST_SKIP() << database.status();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    const auto url = database_->CreateDatabase("lattice");
    ASSERT_TRUE(url.ok()) << url.status();
    auto cluster = NatsCluster::Start();
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    std::vector<std::string> args = {"--stream-replicas=3"};
    for (const std::string& server : cluster_->urls()) args.push_back("--nats-url=" + server);
    for (size_t i = 0; i < 2; ++i) {
      replicas_.push_back(std::make_unique<Latticed>(args));
      replicas_[i]->env() = {{"LATTICE_DATABASE", *url}};
      const absl::Status started = replicas_[i]->Start();
      ASSERT_TRUE(started.ok()) << started;
    }
    ASSERT_TRUE(WaitUntil([&] { return AllReady(); }, kLong));
  }
  void TearDown() override {
    writers_.clear();
    if (!HasFailure()) return;
    for (const auto& replica : replicas_) std::cerr << "latticed said:\n" << replica->log();
  }

  bool AllReady() const { return replicas_[0]->ready() && replicas_[1]->ready(); }
  void StartWriters(int count) {
    for (int i = 0; i < count; ++i) {
      writers_.push_back(std::make_unique<AuditWriter>(AuditWriterOptions{
          .node = absl::StrCat("node-", i), .agent_id = absl::StrCat("agent-", i), .nats_urls = cluster_->urls()}));
      const absl::Status started = writers_.back()->Start();
      ASSERT_TRUE(started.ok()) << started;
    }
  }
  void WriteAll(uint64_t each) {
    for (const auto& writer : writers_) writer->Write(each);
  }
  bool DrainAll() const {
    for (const auto& writer : writers_) {
      if (!writer->Drain(kLong)) return false;
    }
    return true;
  }
  std::set<std::string> Written() const {
    std::set<std::string> ids;
    for (const auto& writer : writers_) ids.insert(writer->ids().begin(), writer->ids().end());
    return ids;
  }
  uint64_t StoredBySources() const {
    uint64_t stored = 0;
    const json sources = replicas_[1]->Get("/api/v1/audit/sources");
    if (!sources.is_object() || !sources["data"].is_object()) return 0;
    for (const json& source : sources["data"]["list"]) stored += source["stored"].get<uint64_t>();
    return stored;
  }

  // The table against what was written: none missing, none twice, no hole that nobody explains.
  void ExpectEachOnce() {
    const std::set<std::string> written = Written();
    EXPECT_TRUE(WaitUntil([&] { return StoredBySources() >= written.size(); }, kLong))
        << StoredBySources() << " of " << written.size();
    std::map<std::string, int> times;
    for (const json& event : replicas_[0]->Flows()) ++times[event["eventId"].get<std::string>()];
    std::vector<std::string> wrong;
    for (const std::string& id : written) {
      if (times[id] != 1) wrong.push_back(absl::StrCat(id, ": ", times[id], " times"));
    }
    EXPECT_THAT(wrong, IsEmpty());
    EXPECT_EQ(times.size(), written.size());
    for (const auto& replica : replicas_) {
      const json page = replica->Get("/api/v1/audit/flow?limit=1");
      EXPECT_EQ(page["data"]["gaps"], 0) << page;
      EXPECT_EQ(page["data"]["lost"], 0) << page;
      EXPECT_THAT(replica->Get("/api/v1/audit/gaps")["data"]["list"], IsEmpty());
      EXPECT_THAT(replica->Get("/api/v1/audit/rejects")["data"]["list"], IsEmpty());
    }
  }

  // Of one scrape; what is being stored just now is in neither.
  static double Ended(const MetricsText& metrics) {
    double ended = 0;
    for (const char* what : {"stored", "duplicates", "rejected", "heads"}) {
      ended += metrics.Sum(absl::StrCat("latticed_ingest_", what, "_total"));
    }
    return ended;
  }
  double EndedAtAll() const { return Ended(replicas_[0]->Scrape()) + Ended(replicas_[1]->Scrape()); }
  double Acked() const {
    double acked = 0;
    for (const auto& writer : writers_) acked += static_cast<double>(writer->acked());
    return acked;
  }
  // Messages of the stream that nobody has acknowledged; -1 when that can't be asked.
  int64_t Unacknowledged() const {
    const nats::Options options{.urls = cluster_->urls()};
    const nats::StreamConfig stream{.name = "LATTICE_AUDIT",
                                    .subjects = {"lattice.audit.>"},
                                    .replicas = 3,
                                    .max_age = absl::Hours(7 * 24),
                                    .max_bytes = int64_t{10} << 30};
    auto consumer = nats::PullConsumer::Open(options, stream, {.durable = "latticed"});
    if (!consumer.ok()) return -1;
    const auto state = (*consumer)->State();
    return state.ok() ? static_cast<int64_t>(state->consumer_pending + state->consumer_ack_pending) : -1;
  }

  std::unique_ptr<PostgresServer> database_;
  std::unique_ptr<NatsCluster> cluster_;
  std::vector<std::unique_ptr<Latticed>> replicas_;
  std::vector<std::unique_ptr<AuditWriter>> writers_;
};

TEST_F(ControlClusterTest, EachRecordIsInTheTableOnceWhoeverIsKilled) {
  ASSERT_NO_FATAL_FAILURE(StartWriters(3));
  WriteAll(1500);
  cluster_->server(0).Kill();
  WriteAll(1500);
  absl::SleepFor(absl::Milliseconds(500));
  replicas_[0]->Kill();
  WriteAll(1500);
  ASSERT_TRUE(cluster_->server(0).Restart().ok());
  ASSERT_TRUE(replicas_[0]->Start().ok());
  ASSERT_TRUE(writers_[0]->Reboot("boot-2").ok());
  WriteAll(1500);
  ASSERT_TRUE(WaitUntil([&] { return AllReady(); }, kLong));
  cluster_->server(1).Kill();
  replicas_[1]->Kill();
  WriteAll(1500);
  ASSERT_TRUE(replicas_[1]->Start().ok());
  ASSERT_TRUE(cluster_->server(1).Restart().ok());
  WriteAll(500);
  ASSERT_TRUE(DrainAll());
  ASSERT_GE(Written().size(), 20'000u);
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return AllReady(); }, kLong));
  EXPECT_TRUE(WaitUntil([&] { return Unacknowledged() == 0; }, kLong));
}

TEST_F(ControlClusterTest, TheBalanceHoldsOverBothReplicas) {
  ASSERT_NO_FATAL_FAILURE(StartWriters(3));
  WriteAll(3000);
  ASSERT_TRUE(DrainAll());
  ExpectEachOnce();
  // acked = stored + duplicates + rejected + heads, whoever stored it. A head may still be under way.
  EXPECT_TRUE(WaitUntil([&] { return EndedAtAll() == Acked(); })) << EndedAtAll() << " of " << Acked();
  double stored = 0;
  for (const auto& replica : replicas_) {
    const MetricsText metrics = replica->Scrape();
    EXPECT_EQ(metrics.Sum("latticed_ingest_received_total"), Ended(metrics));
    EXPECT_GT(metrics.Sum("latticed_ingest_stored_total"), 0) << "one replica took all of the work";
    EXPECT_EQ(metrics.Sum("latticed_ready"), 1);
    stored += metrics.Sum("latticed_ingest_stored_total");
  }
  EXPECT_EQ(stored, static_cast<double>(Written().size()));
}

TEST_F(ControlClusterTest, WithoutTheDatabaseNothingIsAcknowledgedAndNothingIsLost) {
  ASSERT_NO_FATAL_FAILURE(StartWriters(2));
  WriteAll(1000);
  ASSERT_TRUE(DrainAll());
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return Unacknowledged() == 0; }));
  ASSERT_TRUE(database_->Kill().ok());
  WriteAll(2000);
  EXPECT_TRUE(DrainAll()) << "writers wait for NATS only";
  EXPECT_TRUE(WaitUntil([&] { return !replicas_[0]->ready() && !replicas_[1]->ready(); }));
  EXPECT_GE(Unacknowledged(), 4000);
  const auto answer = replicas_[0]->Raw("GET", "/readyz");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->status, 503);
  EXPECT_THAT(answer->body, HasSubstr("database"));
  EXPECT_EQ(replicas_[0]->Raw("GET", "/healthz")->status, 200);
  ASSERT_TRUE(database_->Restart().ok());
  EXPECT_TRUE(WaitUntil([&] { return AllReady(); }, kLong));
  ExpectEachOnce();
  EXPECT_TRUE(WaitUntil([&] { return Unacknowledged() == 0; }));
}

TEST_F(ControlClusterTest, TheReplicasShareTokensAndAgents) {
  const json created = replicas_[0]->Post("/api/v1/agent-isolation/enrollment-tokens", {{"namespace", "default"}});
  const json redeem = {{"enrollmentToken", created["data"]["token"]}, {"agentName", "agent-001"}};
  const json first = replicas_[1]->Post("/api/v1/agent-isolation/register", redeem);
  EXPECT_EQ(first["code"], 0) << first;
  const json second = replicas_[0]->Post("/api/v1/agent-isolation/register",
                                         {{"enrollmentToken", created["data"]["token"]}, {"agentName", "agent-002"}});
  EXPECT_NE(second["code"], 0) << second;
  const auto me = replicas_[1]->Raw("GET", "/api/v1/auth/me", "", replicas_[0]->admin_token());
  ASSERT_TRUE(me.ok()) << me.status();
  EXPECT_EQ(me->status, 200) << me->body;
  const json agents = replicas_[0]->Get("/api/v1/agents");
  ASSERT_EQ(agents["data"]["list"].size(), 1u) << agents;
  EXPECT_EQ(agents["data"]["list"][0]["name"], "agent-001");
}

}  // namespace
}  // namespace lattice::testing
