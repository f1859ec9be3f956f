// What strangers send to latticed: by NATS, by HTTP, and in the texts of records. Each ends as it should, and what
// comes after it is taken.
#include <array>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tests/fault/control_fault.h"
#include "userspace/base/file.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/jwt.h"
#include "userspace/http/client.h"
#include "userspace/sql/database.h"

namespace lattice::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr char kFlow[] = "lattice.audit.flow";
constexpr char kHead[] = "lattice.audit.head";

class ControlInputTest : public ControlFaultTest {
 protected:
  void Open(std::vector<std::string> args = {}) {
    ASSERT_NO_FATAL_FAILURE(StartServer(std::move(args)));
    token_ = TokenOf("agent-1");
    ASSERT_FALSE(token_.empty());
    auto nats = RawNats::Connect(server_->nats_url(), token_);
    ASSERT_TRUE(nats.ok()) << nats.status();
    nats_ = *std::move(nats);
  }
  std::string TokenOf(const std::string& agent) const {
    const auto text = ReadFile(server_->EnrollToFile(agent));
    return text.ok() ? text->substr(0, text->find('\n')) : "";
  }
  // A good record of agent-1.
  static json Record(int seq) {
    return {{"agentId", "agent-1"},
            {"traceId", ""},
            {"direction", "egress"},
            {"dstIp", "198.51.100.9"},
            {"dstPort", 443},
            {"bytes", 60},
            {"ts", absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::Now(), absl::UTCTimeZone())},
            {"v", 1},
            {"eventId", absl::StrCat("node-1/boot-1/", seq)},
            {"seq", seq},
            {"node", "node-1"},
            {"event", "start"},
            {"verdict", "allow"}};
  }
  static json With(json record, const std::string& key, const json& value) {
    record[key] = value;
    return record;
  }
  void Send(const std::string& payload, const std::string& token, const std::string& subject = kFlow) {
    RawNats::Headers headers;
    if (!token.empty()) headers.emplace_back("Lattice-Agent-Token", token);
    const absl::Status sent = nats_->Publish(subject, payload, headers);
    ASSERT_TRUE(sent.ok()) << sent;
    ++sent_;
  }
  void Send(const json& record) { Send(record.dump(), token_); }
  // Until every message that was sent has ended.
  ::testing::AssertionResult AllEnd() const {
    double ended = 0;
    const auto all = [&] {
      ended = Count("ingest_stored") + Count("ingest_duplicates") + Count("ingest_rejected") + Count("ingest_heads");
      return ended == sent_;
    };
    if (WaitUntil(all)) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << ended << " of " << sent_ << " ended";
  }
  // How often each reason is there.
  std::map<std::string, int> Rejects() const {
    std::map<std::string, int> reasons;
    const json rejects = server_->Get("/api/v1/audit/rejects?limit=1000");
    for (const json& reject : rejects["data"]["list"]) ++reasons[reject["reason"].get<std::string>()];
    return reasons;
  }
  // That latticed signs its tokens with.
  std::string Secret() const {
    auto database = sql::Database::Open("sqlite://" + server_->File("lattice.db"));
    EXPECT_TRUE(database.ok()) << database.status();
    auto connection = (*database)->Connect();
    EXPECT_TRUE(connection.ok()) << connection.status();
    const auto rows = (*connection)->Query("SELECT value FROM la_settings WHERE key = 'jwt_secret'");
    EXPECT_TRUE(rows.ok() && rows->size() == 1) << rows.status();
    return rows.ok() ? control::FromBase64(rows->at(0).at(0).text()).value_or("") : "";
  }
  int StatusOf(const std::string& target, const std::string& token) const {
    const auto answer = server_->Raw("GET", target, "", token);
    return answer.ok() ? answer->status : -1;
  }

  std::unique_ptr<RawNats> nats_;
  std::string token_;
  int sent_ = 0;
};

TEST_F(ControlInputTest, WhatIsNoRecordIsKeptAsRejectAndTheNextIsTaken) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::string bad_utf8 = absl::StrReplaceAll(Record(1).dump(), {{"198.51.100.9", "\xff\xfe"}});
  for (const std::string& payload :
       {std::string("no json"), std::string(), std::string("[]"), std::string("{"), std::string("{}"), bad_utf8,
        std::string(60'000, '['), With(Record(1), "dstPort", 70'000).dump(), With(Record(1), "bytes", -1).dump(),
        With(Record(1), "eventId", "node-2/boot-1/1").dump(), With(Record(1), "ts", "yesterday").dump(),
        With(Record(1), "seq", "1").dump()}) {
    ASSERT_NO_FATAL_FAILURE(Send(payload, token_));
  }
  // An agent may not publish there; the operator of a NATS of others may let it.
  auto anyone = RawNats::Connect(server_->NatsUrlOfLatticed());
  ASSERT_TRUE(anyone.ok()) << anyone.status();
  ASSERT_TRUE((*anyone)->Publish("lattice.audit.other", Record(1).dump()).ok());
  ++sent_;
  ASSERT_NO_FATAL_FAILURE(Send("no json", token_, kHead));
  ASSERT_NO_FATAL_FAILURE(Send(With(Record(1), "host", std::string(70'000, 'x'))));
  ASSERT_NO_FATAL_FAILURE(Send(With(Record(1), "ts", "2199-01-01T00:00:00Z")));
  ASSERT_NO_FATAL_FAILURE(Send(With(Record(1), "v", 99)));
  ASSERT_NO_FATAL_FAILURE(Send(Record(1)));
  ASSERT_TRUE(AllEnd());
  const std::map<std::string, int> expected = {
      {"malformed", 14}, {"oversized", 1}, {"future_dated", 1}, {"unsupported_version", 1}};
  EXPECT_EQ(Rejects(), expected);
  ASSERT_EQ(server_->Flows().size(), 1u);
  EXPECT_TRUE(server_->ready());
}

TEST_F(ControlInputTest, WhoSpeaksForAnotherAgentIsRejected) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::string other = TokenOf("agent-2");
  ASSERT_FALSE(other.empty());
  const std::string forged = control::SignJwt(std::string(32, 'x'), {.issuer = control::kAgentIssuer,
                                                                     .subject = "agent-1",
                                                                     .issued_at = absl::Now(),
                                                                     .expires_at = absl::Now() + absl::Hours(1),
                                                                     .agent_id = "1",
                                                                     .name_space = "default"});
  for (const std::string& token : {std::string(), std::string("x"), other, forged, server_->admin_token()}) {
    ASSERT_NO_FATAL_FAILURE(Send(Record(1).dump(), token));
  }
  const json head = {{"v", 1},    {"agentId", "agent-1"},        {"node", "node-1"}, {"boot", "boot-1"}, {"seq", 99},
                     {"h", "00"}, {"ts", "2026-01-01T00:00:00Z"}};
  ASSERT_NO_FATAL_FAILURE(Send(head.dump(), other, kHead));
  ASSERT_NO_FATAL_FAILURE(Send(Record(1)));
  ASSERT_TRUE(AllEnd());
  const std::map<std::string, int> expected = {{"agent_mismatch", 6}};
  EXPECT_EQ(Rejects(), expected);
  EXPECT_EQ(server_->Flows().size(), 1u);
  EXPECT_TRUE(server_->Get("/api/v1/audit/sources")["data"]["list"][0].value("head", json()).is_null());
}

TEST_F(ControlInputTest, WhoNamesTheSourceOfAnotherAgentIsRejected) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::string other = TokenOf("agent-2");
  ASSERT_FALSE(other.empty());
  ASSERT_NO_FATAL_FAILURE(Send(Record(1)));
  ASSERT_TRUE(AllEnd());
  const json head = {{"v", 1},    {"agentId", "agent-2"},        {"node", "node-1"}, {"boot", "boot-1"}, {"seq", 99},
                     {"h", "00"}, {"ts", "2026-01-01T00:00:00Z"}};
  ASSERT_NO_FATAL_FAILURE(Send(head.dump(), other, kHead));
  // A number that agent-1 has not come to: its own record must find it free.
  ASSERT_NO_FATAL_FAILURE(Send(With(Record(2), "agentId", "agent-2").dump(), other));
  ASSERT_NO_FATAL_FAILURE(Send(Record(2)));
  ASSERT_TRUE(AllEnd());
  const std::map<std::string, int> expected = {{"source_of_another_agent", 2}};
  EXPECT_EQ(Rejects(), expected);
  EXPECT_EQ(server_->Flows("agentName=agent-1").size(), 2u);
  EXPECT_EQ(server_->Flows().size(), 2u);
  EXPECT_TRUE(server_->Get("/api/v1/audit/sources")["data"]["list"][0].value("head", json()).is_null());
}

TEST_F(ControlInputTest, WhatARevokedAgentWroteBeforeIsTaken) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const json before = Record(1);
  ASSERT_EQ(server_->Post("/api/v1/agents/agent-1/revoke", json::object())["code"], 0);
  // As a NATS of others lets it in, or as it was in the stream already.
  auto nats = RawNats::Connect(server_->NatsUrlOfLatticed());
  ASSERT_TRUE(nats.ok()) << nats.status();
  nats_ = *std::move(nats);
  ASSERT_NO_FATAL_FAILURE(Send(before));
  ASSERT_NO_FATAL_FAILURE(Send(Record(2)));
  ASSERT_TRUE(AllEnd());
  const std::map<std::string, int> expected = {{"agent_revoked", 1}};
  EXPECT_EQ(Rejects(), expected);
  ASSERT_EQ(server_->Flows().size(), 1u);
  EXPECT_EQ(server_->Flows()[0]["seq"], 1);
}

TEST_F(ControlInputTest, RepeatedAndDisorderedRecordsAreStoredOnceWithoutAHole) {
  ASSERT_NO_FATAL_FAILURE(Open());
  for (const int seq : {5, 2, 4, 1, 5, 3, 3}) ASSERT_NO_FATAL_FAILURE(Send(Record(seq)));
  ASSERT_NO_FATAL_FAILURE(Send(With(Record(1), "dstIp", "192.0.2.66")));  // the first one counts
  ASSERT_TRUE(AllEnd());
  EXPECT_EQ(server_->Flows().size(), 5u);
  EXPECT_EQ(Count("ingest_duplicates"), 3);
  EXPECT_TRUE(server_->Flows("dst=192.0.2.66").empty());
  EXPECT_EQ(server_->Get("/api/v1/audit/flow?limit=1")["data"]["gaps"], 0);
}

TEST_F(ControlInputTest, AMessageOfAnOlderAgentIsARecord) {
  ASSERT_NO_FATAL_FAILURE(Open());
  json record = Record(1);
  for (const char* key : {"v", "eventId", "seq", "node", "event", "verdict"}) record.erase(key);
  ASSERT_NO_FATAL_FAILURE(Send(record));
  ASSERT_TRUE(AllEnd());
  ASSERT_EQ(server_->Flows("event=flow&agentName=agent-1").size(), 1u);
}

// Texts are data on every way: into the table, out as JSON, CSV and by a filter.
TEST_F(ControlInputTest, TextsOfRecordsAreNeverStatementsNorFormulas) {
  ASSERT_NO_FATAL_FAILURE(Open({"--require-agent-auth=false"}));
  const std::vector<std::string> texts = {"'; DROP TABLE la_flow_events; --",
                                          "\" OR 1=1 --",
                                          "=cmd|' /C calc'!A0",
                                          "+1+1",
                                          "-2+3",
                                          "@SUM(A1)",
                                          "\tTAB",
                                          "a,b\"c\r\nd",
                                          "<script>alert(1)</script>",
                                          "%_\\",
                                          "\xc3\xa9\xe2\x82\xac",
                                          std::string("nul\0in it", 9)};
  int seq = 0;
  for (const std::string& text : texts) {
    ASSERT_NO_FATAL_FAILURE(Send(With(With(Record(++seq), "agentId", text), "host", text)));
  }
  ASSERT_TRUE(AllEnd());
  EXPECT_EQ(Count("ingest_rejected"), 0);
  for (const std::string& text : texts) {
    for (const char* name : {"agentName", "host"}) {
      const auto found = server_->Flows(absl::StrCat(name, "=", http::EscapeQuery(text)));
      ASSERT_EQ(found.size(), 1u) << name << "=" << text;
      // No engine keeps a NUL in a text.
      const std::string kept = absl::StrReplaceAll(text, {{absl::string_view("\0", 1), "\xef\xbf\xbd"}});
      EXPECT_EQ(found[0]["agentId"], kept);
      EXPECT_EQ(found[0]["host"], kept);
    }
  }
  const auto csv = server_->Raw("GET", "/api/v1/audit/flow?format=csv", "", server_->admin_token());
  ASSERT_TRUE(csv.ok()) << csv.status();
  EXPECT_THAT(csv->body, HasSubstr(",\"'=cmd|' /C calc'!A0\","));
  EXPECT_THAT(csv->body, HasSubstr("\"a,b\"\"c\r\nd\""));
  for (const char* formula : {",=", ",+", ",@", ",\t", ",-", "\"=", "\"+", "\"@", "\"-"}) {
    EXPECT_FALSE(absl::StrContains(csv->body, formula)) << formula;
  }
  EXPECT_EQ(server_->Flows().size(), texts.size());
}

TEST_F(ControlInputTest, ATokenThatIsNotOursOpensNothing) {
  ASSERT_NO_FATAL_FAILURE(Open());
  const std::string admin = server_->admin_token();
  const std::vector<std::string> parts = absl::StrSplit(admin, '.');
  ASSERT_EQ(parts.size(), 3u);
  const std::string none = control::Base64Url(R"({"alg":"none","typ":"JWT"})");
  const std::string other = control::SignJwt(std::string(32, 'x'), {.issuer = control::kUserIssuer,
                                                                    .subject = "admin",
                                                                    .issued_at = absl::Now(),
                                                                    .expires_at = absl::Now() + absl::Hours(1),
                                                                    .role = "admin"});
  const std::string secret = Secret();
  ASSERT_EQ(secret.size(), 32u);
  control::Claims claims{.issuer = control::kUserIssuer,
                         .subject = "admin",
                         .issued_at = absl::Now() - absl::Hours(2),
                         .expires_at = absl::Now() + absl::Hours(1),
                         .role = "admin"};
  EXPECT_EQ(StatusOf("/api/v1/audit/flow", control::SignJwt(secret, claims)), 200) << "the key is the right one";
  claims.expires_at = absl::Now() - absl::Hours(1);
  const std::string expired = control::SignJwt(secret, claims);
  claims.expires_at = absl::Now() + absl::Hours(1);
  claims.role = "root";
  const std::string unknown_role = control::SignJwt(secret, claims);
  const std::array<std::pair<const char*, std::string>, 9> cases = {
      {{"none", absl::StrCat(none, ".", parts[1], ".")},
       {"none with the signature", absl::StrCat(none, ".", parts[1], ".", parts[2])},
       {"without signature", absl::StrCat(parts[0], ".", parts[1], ".")},
       {"another key", other},
       {"changed", absl::StrCat(parts[0], ".", parts[1], "A.", parts[2])},
       {"of an agent", token_},
       {"expired", expired},
       {"of a role that is none", unknown_role},
       {"garbage", "x.y.z"}}};
  for (const char* target : {"/api/v1/audit/flow", "/api/v1/agents", "/api/v1/audit/flow/stream"}) {
    for (const auto& [name, token] : cases) EXPECT_EQ(StatusOf(target, token), 401) << target << " " << name;
    EXPECT_EQ(StatusOf(target, ""), 401) << target;
  }
  EXPECT_EQ(StatusOf("/api/v1/audit/flow", admin), 200);
}

TEST_F(ControlInputTest, AnAgentsNatsUserCannotTouchTheStreamNorListen) {
  ASSERT_NO_FATAL_FAILURE(Open());
  ASSERT_NO_FATAL_FAILURE(Send(Record(1)));
  ASSERT_TRUE(AllEnd());
  for (const std::string& subject :
       {std::string("$JS.API.STREAM.DELETE.LATTICE_AUDIT"), std::string("$JS.API.STREAM.PURGE.LATTICE_AUDIT"),
        std::string("$JS.API.STREAM.UPDATE.LATTICE_AUDIT"), std::string("$JS.API.STREAM.MSG.DELETE.LATTICE_AUDIT"),
        std::string("$JS.API.INFO"), std::string("$JS.API.STREAM.INFO.LATTICE_AUDIT"),
        std::string("$JS.API.STREAM.CREATE.MINE"), std::string("$JS.API.STREAM.SNAPSHOT.LATTICE_AUDIT"),
        std::string("$JS.API.CONSUMER.DELETE.LATTICE_AUDIT.latticed"),
        std::string("$JS.API.CONSUMER.CREATE.LATTICE_AUDIT"),
        std::string("$JS.API.CONSUMER.DURABLE.CREATE.LATTICE_AUDIT.mine"),
        std::string("$JS.API.CONSUMER.MSG.NEXT.LATTICE_AUDIT.latticed")}) {
    EXPECT_EQ(nats_->Request(subject, "{}", absl::Milliseconds(300)), std::nullopt) << subject;
  }
  EXPECT_TRUE(nats_->Request("lattice.signals.peer.stream", "", absl::Seconds(5)).has_value()) << "writers need this";
  auto writer = RawNats::Connect(server_->nats_url(), TokenOf("agent-2"));
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (const char* subject : {"lattice.audit.>", ">", "lattice.signals.peer.>", "$JS.>", "_INBOX.>", "_LATTICED.>"}) {
    EXPECT_FALSE(nats_->Hears(subject, absl::Milliseconds(300), [&] {
      EXPECT_TRUE((*writer)->Publish(kFlow, Record(2).dump(), {{"Lattice-Agent-Token", token_}}).ok());
    })) << subject;
  }
  EXPECT_EQ(server_->Flows("event=start").size(), server_->Flows().size());
  EXPECT_TRUE(server_->ready());
}

TEST_F(ControlInputTest, AWrongQueryIsRefusedByItsName) {
  ASSERT_NO_FATAL_FAILURE(Open());
  for (const auto& [target, says] :
       {std::pair("/api/v1/audit/flow?agent=x", "unknown parameter agent"),
        std::pair("/api/v1/audit/flow?cursor=%25%25", "cursor"), std::pair("/api/v1/audit/flow?cursor=MTIz", "cursor"),
        std::pair("/api/v1/audit/flow?limit=1001", "limit"), std::pair("/api/v1/audit/flow?from=yesterday", "from"),
        std::pair("/api/v1/audit/flow?dst=10.0.0.0/33", "dst"),
        std::pair("/api/v1/audit/flow/stream?from=-1h", "unknown parameter from"),
        std::pair("/api/v1/audit/flow/top?by=color", "by"),
        std::pair("/api/v1/audit/gaps?x=1", "unknown parameter x")}) {
    const json answer = server_->Get(target);
    EXPECT_EQ(answer.value("code", 0), 400) << target << ": " << answer;
    EXPECT_THAT(answer.value("msg", ""), HasSubstr(says)) << target;
  }
}

}  // namespace
}  // namespace lattice::testing
