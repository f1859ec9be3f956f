// From the kernel to the table and out of the API: real traffic, latticed-dp, latticed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "tests/e2e/control_test.h"

namespace lattice::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST_F(ControlTest, AnAllowedAndADeniedConnectionAreInTheTable) {
  Http(peer(), 80);
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  EXPECT_EQ(Curl(node(), "http://10.42.0.10/").out, "hello\n");
  EXPECT_NE(Curl(node(), "http://10.42.0.20:8443/", 1).exit_code, 0);
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "end"; }).has_value());
  ASSERT_TRUE(AllArrive());

  const auto allowed = server_->Flows("agentName=agent-001&from=-5m&verdict=allow&event=end&port=80");
  ASSERT_EQ(allowed.size(), 1u);
  EXPECT_EQ(allowed[0]["dstIp"], "10.42.0.10");
  EXPECT_EQ(allowed[0]["rule"], "10.42.0.10/32");
  EXPECT_GT(allowed[0]["bytesIn"].get<int>(), 0);
  const auto denied = server_->Flows("agentName=agent-001&from=-5m&verdict=drop&dst=10.42.0.20");
  ASSERT_GE(denied.size(), 1u);
  EXPECT_EQ(denied[0]["dstPort"], 8443);
  EXPECT_TRUE(server_->Flows("agentName=another&from=-5m").empty());

  const json hints = server_->Get("/api/v1/audit/flow/hints?from=-5m");
  ASSERT_EQ(hints["data"]["list"].size(), 1u) << hints;
  EXPECT_EQ(hints["data"]["list"][0]["rule"], "10.42.0.20/32:8443/tcp");
  const json page = server_->Get("/api/v1/audit/flow?limit=1");
  EXPECT_EQ(page["data"]["gaps"], 0);
  EXPECT_EQ(page["data"]["lost"], 0);
  const json sources = server_->Get("/api/v1/audit/sources");
  ASSERT_EQ(sources["data"]["list"].size(), 1u) << sources;
  EXPECT_EQ(sources["data"]["list"][0]["missing"], 0);
}

TEST_F(ControlTest, EveryRecordOfTheFileIsInTheTableOnce) {
  UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  SendDatagrams(300);
  ASSERT_TRUE(AllArrive());
  std::multiset<std::string> written, stored;
  for (const AuditRecord& record : dp_->Records()) written.insert(record["eventId"]);
  for (const json& event : server_->Flows()) stored.insert(event["eventId"].get<std::string>());
  // Flows that end meanwhile.
  for (const std::string& id : written) EXPECT_EQ(stored.count(id), 1u) << id;
  const MetricsText metrics = server_->Scrape();
  EXPECT_EQ(metrics.Sum("latticed_ingest_received_total"),
            metrics.Sum("latticed_ingest_stored_total") + metrics.Sum("latticed_ingest_duplicates_total") +
                metrics.Sum("latticed_ingest_rejected_total") + metrics.Sum("latticed_ingest_heads_total"));
}

TEST_F(ControlTest, RecordsThatNameAnotherAgentAreRejected) {
  UdpSink(peer(), "10.42.0.10", 7000);
  const std::string other = server_->EnrollToFile("agent-002");
  ASSERT_FALSE(other.empty());
  token_ = other;
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  SendDatagrams(1);
  EXPECT_TRUE(WaitUntil([&] { return server_->Scrape().Sum("latticed_ingest_rejected_total") > 0; }));
  const json rejects = server_->Get("/api/v1/audit/rejects");
  ASSERT_FALSE(rejects["data"]["list"].empty()) << rejects;
  EXPECT_EQ(rejects["data"]["list"][0]["reason"], "agent_mismatch");
  EXPECT_THAT(rejects["data"]["list"][0]["detail"].get<std::string>(), HasSubstr("agent-002"));
  EXPECT_TRUE(server_->Flows().empty());
}

TEST_F(ControlTest, WhatHappensWhileItIsAwayIsThereWhenItIsBack) {
  UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  SendDatagrams(50);
  server_->Kill();
  SendDatagrams(50);
  ASSERT_TRUE(dp_->WaitForRecord([](const AuditRecord& r) { return r["event"] == "end"; }).has_value());
  ASSERT_TRUE(server_->Start().ok()) << server_->log();
  ASSERT_TRUE(AllArrive());
  EXPECT_EQ(server_->Get("/api/v1/audit/flow?limit=1")["data"]["gaps"], 0);
}

TEST_F(ControlTest, APolicyForANameThatNobodyHasIsKeptAndSaidToWait) {
  const CommandResult known = server_->Cli({"policy", "set", "agent-001", "10.42.0.10/32"});
  EXPECT_EQ(known.exit_code, 0) << known;
  EXPECT_EQ(known.err, "");
  const CommandResult unknown = server_->Cli({"policy", "set", "agent-01", "10.42.0.10/32"});
  EXPECT_EQ(unknown.exit_code, 0) << unknown;
  EXPECT_THAT(unknown.err,
              HasSubstr("no agent agent-01 has enrolled yet: the policy is kept and applies once it does"));
  EXPECT_THAT(server_->Cli({"policy", "show", "agent-01"}).out, HasSubstr("10.42.0.10/32"));
}

TEST_F(ControlTest, TheLiveTailShowsARecordSoon) {
  UdpSink(peer(), "10.42.0.10", 7000);
  ASSERT_NO_FATAL_FAILURE(StartPublishing({"--egress-allow=10.42.0.10/32"}));
  auto tail = ChildProcess::Start({.argv = {"curl", "-sN", "-H", "Authorization: Bearer " + server_->admin_token(),
                                            server_->url() + "/api/v1/audit/flow/stream?event=start"},
                                   .netns = node().path()});
  ASSERT_TRUE(tail.ok()) << tail.status();
  ASSERT_TRUE((*tail)->WaitForOutput(": lattice live tail", absl::Seconds(10)));
  SendDatagrams(1);
  EXPECT_TRUE((*tail)->WaitForOutput("\"dstPort\":7000", absl::Seconds(10))) << (*tail)->out();
  EXPECT_THAT((*tail)->out(), HasSubstr("\nid: "));
}

}  // namespace
}  // namespace lattice::testing
