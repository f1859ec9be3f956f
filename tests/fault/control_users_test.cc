// Who may do what on latticed's own NATS server: an agent hears nothing that is for another, and one that was revoked
// hears nothing any more.
#include <signal.h>

#include <atomic>
#include <thread>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/fault/control_fault.h"
#include "userspace/base/file.h"
#include "userspace/control/registry/encoding.h"

namespace lattice::testing {
namespace {

using nlohmann::json;
using ::testing::StartsWith;

constexpr absl::Duration kSilence = absl::Milliseconds(200);
constexpr absl::Duration kAnswer = absl::Seconds(5);

class ControlUsersTest : public ControlFaultTest {
 protected:
  std::string TokenOf(const std::string& agent) const {
    const auto text = ReadFile(server_->EnrollToFile(agent));
    return text.ok() ? text->substr(0, text->find('\n')) : "";
  }
  std::unique_ptr<RawNats> LogIn(const std::string& url, const std::string& token = "") const {
    auto nats = RawNats::Connect(url, token);
    EXPECT_TRUE(nats.ok()) << nats.status();
    return nats.ok() ? *std::move(nats) : nullptr;
  }
  std::unique_ptr<RawNats> Agent(const std::string& token) const { return LogIn(server_->nats_url(), token); }
  bool Refused(const std::string& url, const std::string& token = "") const {
    const auto nats = RawNats::Connect(url, token);
    return !nats.ok() && absl::StrContains(absl::AsciiStrToLower(nats.status().message()), "authorization");
  }
  std::string Discovered() const {
    const auto told = server_->Raw("GET", "/api/v1/discovery");
    return told.ok() ? json::parse(told->body)["data"]["nats_url"].get<std::string>() : "";
  }
  std::string EnrolmentToken() const {
    return server_->Post("/api/v1/agent-isolation/enrollment-tokens", json::object())["data"]["token"];
  }
  void Revoke(const std::string& agent) const {
    EXPECT_EQ(server_->Post(absl::StrCat("/api/v1/agents/", agent, "/revoke"), json::object())["code"], 0);
  }
};

TEST_F(ControlUsersTest, OnlyWhoEnrolledIsLetIn) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string host = server_->nats_url().substr(server_->nats_url().rfind('/') + 1);
  EXPECT_THAT(server_->nats_url(), StartsWith("nats://127.0.0.1:"));
  for (const char* user : {"", "agent:wrong@", "_latticed:@", "_latticed:x@", "_enroll:x@", "agent-1:x@"}) {
    EXPECT_TRUE(Refused(absl::StrCat("nats://", user, host))) << user;
  }
  EXPECT_NE(Agent(TokenOf("agent-1")), nullptr);
}

TEST_F(ControlUsersTest, AnAgentHearsWhatIsForItAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  // "_INBOX_a.>" must not be above the inbox of "a.b".
  const auto a = Agent(TokenOf("a"));
  const auto other = Agent(TokenOf("a.b"));
  const auto all = LogIn(server_->NatsUrlOfLatticed());
  ASSERT_TRUE(a != nullptr && other != nullptr && all != nullptr);
  for (const auto& [listens, published, hears] :
       {std::tuple("_INBOX_a.>", "_INBOX_a.x.1", true),
        std::tuple("lattice.signals.config", "lattice.signals.config", true),
        std::tuple("lattice.signals.config.a", "lattice.signals.config.a", true),
        std::tuple("_INBOX_a.>", "_INBOX_a=b.x.1", false), std::tuple("_INBOX_a=b.>", "_INBOX_a=b.x.1", false),
        std::tuple("*.x.1", "_INBOX_a=b.x.1", false), std::tuple("_INBOX.>", "_INBOX.x.1", false),
        std::tuple("_LATTICED.>", "_LATTICED.x", false), std::tuple(">", "lattice.audit.x", false),
        std::tuple("lattice.signals.config.*", "lattice.signals.config.a.b", false),
        std::tuple("lattice.signals.config.>", "lattice.signals.config.a.b", false),
        std::tuple("lattice.signals.peers.*", "lattice.signals.peers.1", false),
        std::tuple("lattice.signals.peer.*", "lattice.signals.peer.heartbeat", false)}) {
    EXPECT_EQ(a->Hears(listens, hears ? kAnswer : kSilence,
                       [&, &to = published] { EXPECT_TRUE(all->Publish(to, "x").ok()); }),
              hears)
        << listens;
  }
  EXPECT_TRUE(a->Request("lattice.signals.peer.heartbeat", R"({"appId":"a"})", kAnswer).has_value());
}

TEST_F(ControlUsersTest, AnAgentAsksOfRecordsWithoutReadingThem) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string token = TokenOf("agent-1");
  const auto agent = Agent(token);
  ASSERT_NE(agent, nullptr);
  ASSERT_TRUE(agent->Publish("lattice.audit.flow", "x", {{"Nats-Msg-Id", "node-1/boot-1/1"}}).ok());
  ASSERT_TRUE(WaitUntil([&] { return Count("ingest_rejected") == 1; }));
  for (const char* subject : {"$JS.API.STREAM.MSG.GET.LATTICE_AUDIT", "$JS.API.DIRECT.GET.LATTICE_AUDIT"}) {
    EXPECT_EQ(agent->Request(subject, R"({"seq":1})", kSilence), std::nullopt) << subject;
  }
  const std::string holds = "lattice.signals.peer.holds";
  EXPECT_EQ(agent->Request(holds, "1 node-1/boot-1/1", kAnswer), "same");
  EXPECT_EQ(agent->Request(holds, "1 node-1/boot-1/2", kAnswer), "other");
  EXPECT_EQ(agent->Request(holds, "2 node-1/boot-1/1", kAnswer), "none");
  EXPECT_EQ(agent->Request(holds, "x", kAnswer), "") << "an error is a header";
}

// nats-server 2.9 dies of a request to its JetStream that is to be answered on a subject with a wildcard.
TEST_F(ControlUsersTest, ARequestThatKillsTheServerDoesNotReachIt) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const auto agent = Agent(TokenOf("a"));
  const auto anyone = LogIn(Discovered());
  ASSERT_TRUE(agent != nullptr && anyone != nullptr);
  for (const auto& client : {agent.get(), anyone.get()}) {
    for (const char* subject : {"$JS.API.INFO", "$JS.API.STREAM.INFO.LATTICE_AUDIT"}) {
      EXPECT_TRUE(client->PublishRequest(subject, "", "x.>").ok());
    }
  }
  EXPECT_TRUE(agent->Request("lattice.signals.peer.holds", "x", kAnswer).has_value());
  const auto after = Agent(TokenOf("b"));
  EXPECT_NE(after, nullptr);
}

// latticed may publish where an agent may not: it must not do so in its name.
TEST_F(ControlUsersTest, AnAnswerGoesToAnInboxOnly) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const auto a = Agent(TokenOf("a"));
  const auto b = Agent(TokenOf("b"));
  ASSERT_TRUE(a != nullptr && b != nullptr);
  EXPECT_FALSE(b->Hears("lattice.signals.config.b", kSilence, [&] {
    EXPECT_TRUE(a->PublishRequest("lattice.signals.peer.holds", "x", "lattice.signals.config.b").ok());
    // Requests are answered one after the other.
    EXPECT_TRUE(a->Request("lattice.signals.peer.holds", "x", kAnswer).has_value());
  }));
  EXPECT_TRUE(server_->WaitForLog("is no inbox"));
}

TEST_F(ControlUsersTest, DiscoveryTellsAUserThatMayAskAndNothingElse) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string url = Discovered();
  EXPECT_THAT(url, StartsWith("nats://_enroll:"));
  const auto anyone = LogIn(url);
  const auto all = LogIn(server_->NatsUrlOfLatticed());
  ASSERT_TRUE(anyone != nullptr && all != nullptr);
  const json enrolment = {{"appId", "old"},
                          {"token", EnrolmentToken()},
                          {"publicKey", control::Base64(std::string(32, 'k'))},
                          {"port", 51820}};
  const auto peer = anyone->Request("lattice.signals.peer.register", enrolment.dump(), kAnswer);
  ASSERT_TRUE(peer.has_value() && !peer->empty());
  const json token = json::parse(*peer).value("token", json());
  ASSERT_TRUE(token.is_string()) << *peer;
  const auto map =
      anyone->Request("lattice.signals.peer.GetNetMap", json({{"appId", "old"}, {"token", token}}).dump(), kAnswer);
  ASSERT_TRUE(map.has_value() && !map->empty());
  EXPECT_EQ(json::parse(*map).value("status", ""), "active") << *map;
  EXPECT_EQ(anyone->Request("lattice.signals.peer.heartbeat", R"({"appId":"old"})", kAnswer), "");
  for (const char* subject :
       {"$JS.API.INFO", "$JS.API.STREAM.INFO.LATTICE_AUDIT", "$JS.API.STREAM.MSG.GET.LATTICE_AUDIT"}) {
    EXPECT_EQ(anyone->Request(subject, "", kSilence), std::nullopt) << subject;
  }
  for (const char* subject : {"lattice.audit.flow", "lattice.audit.head", "lattice.signals.config"}) {
    EXPECT_FALSE(all->Hears(subject, kSilence, [&, s = subject] { EXPECT_TRUE(anyone->Publish(s, "x").ok()); }));
  }
  EXPECT_FALSE(anyone->Hears("_INBOX_old.>", kSilence, [&] { EXPECT_TRUE(all->Publish("_INBOX_old.x", "x").ok()); }));
}

TEST_F(ControlUsersTest, WithoutOpenEnrolmentDiscoveryTellsNoUser) {
  ASSERT_NO_FATAL_FAILURE(StartServer({"--nats-open-enrolment=false"}));
  EXPECT_EQ(Discovered(), server_->nats_url());
  EXPECT_TRUE(Refused(Discovered()));
  EXPECT_NE(Agent(TokenOf("agent-1")), nullptr);
  const auto users = ReadFile(server_->File("nats/users.conf"));
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_FALSE(absl::StrContains(*users, "_enroll"));
}

TEST_F(ControlUsersTest, ARevokedAgentIsCutOffAndTheOthersAreNot) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string old = TokenOf("agent-1");
  const auto revoked = Agent(old);
  const auto other = Agent(TokenOf("agent-2"));
  ASSERT_TRUE(revoked != nullptr && other != nullptr);
  Revoke("agent-1");
  EXPECT_TRUE(revoked->IsCut(absl::Seconds(20)));
  EXPECT_TRUE(Refused(server_->nats_url(), old));
  EXPECT_FALSE(other->IsCut(absl::ZeroDuration()));
  EXPECT_TRUE(other->Publish("lattice.audit.flow", "x").ok());
  // Enrolled again, it has another password.
  const json created = server_->Post("/api/v1/agent-isolation/enrollment-tokens", {{"agentName", "agent-1"}});
  const json enrolled = server_->Post("/api/v1/agent-isolation/register",
                                      {{"enrollmentToken", created["data"]["token"]}, {"agentName", "agent-1"}});
  ASSERT_EQ(enrolled["code"], 0) << enrolled;
  EXPECT_NE(Agent(enrolled["data"]["jwt"]), nullptr);
  EXPECT_TRUE(Refused(server_->nats_url(), old));
  EXPECT_TRUE(server_->ready());
}

TEST_F(ControlUsersTest, ManyThatEnrolAtOnceCanLogInAtOnceAndTheServerIsToldSeldom) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  constexpr int kThreads = 12, kEach = 5;
  std::atomic<int> let_in{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        const std::string token = TokenOf(absl::StrCat("agent-", t, "-", i));
        if (RawNats::Connect(server_->nats_url(), token).ok()) ++let_in;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(let_in, kThreads * kEach);
  const MetricsText metrics = server_->Scrape();
  EXPECT_EQ(metrics.Sum("latticed_nats_users"), kThreads * kEach);
  EXPECT_EQ(metrics.Sum("latticed_nats_reload_failures_total"), 0);
  EXPECT_GT(metrics.Sum("latticed_nats_reloads_total"), 0);
  EXPECT_LT(metrics.Sum("latticed_nats_reloads_total"), kThreads * kEach / 2);
}

TEST_F(ControlUsersTest, UsersOutliveTheServersEnd) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  const std::string token = TokenOf("agent-1");
  kill(NatsPid(), SIGKILL);
  EXPECT_TRUE(WaitUntil([&] { return RawNats::Connect(server_->nats_url(), token).ok(); }));
  ASSERT_EQ(server_->Stop(), 0);
  ASSERT_TRUE(server_->Start().ok()) << server_->log();
  EXPECT_NE(Agent(token), nullptr);
}

// While the server can not be told, an enrolment is answered all the same, and told later.
TEST_F(ControlUsersTest, WhatTheServerCouldNotBeToldItIsToldLater) {
  ASSERT_NO_FATAL_FAILURE(StartServer());
  ASSERT_EQ(kill(NatsPid(), SIGSTOP), 0);
  const std::string token = TokenOf("agent-1");
  EXPECT_NE(token, "");
  ASSERT_EQ(kill(NatsPid(), SIGCONT), 0);
  EXPECT_TRUE(WaitUntil([&] { return RawNats::Connect(server_->nats_url(), token).ok(); }));
}

}  // namespace
}  // namespace lattice::testing
