#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/control/registry_fixture.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/netmap.h"
#include "userspace/control/registry/signal_message.h"
#include "userspace/control/registry/signal_service.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class Signals : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (IsSkipped()) return;
    Open();
    service_ = std::make_unique<SignalService>(*registry_, clock_);
  }
  absl::StatusOr<std::string> Ask(const std::string& method, const nlohmann::json& body) {
    return service_->Handle("lattice.signals.peer." + method, body.dump());
  }
  nlohmann::json Register(const std::string& name, int number) {
    const auto answer = Ask("register", {{"appId", "app-" + name},
                                         {"name", name},
                                         {"hostname", "host"},
                                         {"platform", "linux"},
                                         {"port", 51820},
                                         {"publicKey", Key(number)},
                                         {"token", Token()},
                                         {"persistentKeepalive", 25}});
    EXPECT_TRUE(answer.ok()) << answer.status();
    return nlohmann::json::parse(*answer);
  }
  std::unique_ptr<SignalService> service_;
};

TEST_F(Signals, RegisterThenGetNetMapThenHeartbeat) {
  const nlohmann::json a = Register("a", 1);
  const nlohmann::json b = Register("b", 2);
  EXPECT_EQ(a["peerId"], PeerId(Key(1)));
  const auto map = Ask("GetNetMap", {{"appId", "app-a"}, {"publicKey", Key(1)}, {"token", a["token"]}});
  ASSERT_TRUE(map.ok()) << map.status();
  std::vector<std::string> warnings;
  const auto config = ParseNetMap(*map, &warnings);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->address, "10.42.0.2");
  ASSERT_THAT(config->peers, SizeIs(1));
  EXPECT_EQ(config->peers[0].name, "b");
  clock_.Advance(absl::Seconds(5));
  const auto heartbeat = Ask("heartbeat", {{"appId", "app-b"}});
  ASSERT_TRUE(heartbeat.ok()) << heartbeat.status();
  EXPECT_EQ(*heartbeat, "");
  EXPECT_NE(registry_->FindAgent("b")->last_heartbeat_ns, 0);
  ASSERT_TRUE(Ask("heartbeat", {{"token", a["token"]}, {"endpoint", "192.0.2.1:1"}}).ok());
  EXPECT_EQ(registry_->FindAgent("a")->endpoint, "192.0.2.1:1");
}

TEST_F(Signals, GetNetMapIsForTheTokensAgentAndItsKeyOnly) {
  const nlohmann::json a = Register("a", 1);
  EXPECT_THAT(std::string(Ask("GetNetMap", {{"publicKey", Key(2)}, {"token", a["token"]}}).status().message()),
              HasSubstr("publicKey"));
  EXPECT_FALSE(Ask("GetNetMap", {{"publicKey", Key(1)}}).ok());
  EXPECT_FALSE(Ask("GetNetMap", {{"publicKey", Key(1)}, {"token", "x.y.z"}}).ok());
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  EXPECT_THAT(std::string(Ask("GetNetMap", {{"token", a["token"]}}).status().message()), HasSubstr("revoked"));
  EXPECT_THAT(std::string(Ask("heartbeat", {{"token", a["token"]}}).status().message()), HasSubstr("revoked"));
}

TEST_F(Signals, AnotherReplicasReenrollmentEndsATokenAtOnce) {
  const nlohmann::json a = Register("a", 1);
  auto other = OpenAnother();
  ASSERT_TRUE(other->Enroll({.token = Token({.name = "a"}), .name = "a", .public_key = Key(2)}).ok());
  EXPECT_THAT(std::string(Ask("GetNetMap", {{"token", a["token"]}}).status().message()), HasSubstr("earlier"));
}

TEST_F(Signals, UnknownRequestsAreNotFound) {
  EXPECT_TRUE(absl::IsNotFound(Ask("leave", {}).status()));
  EXPECT_TRUE(absl::IsNotFound(service_->Handle("other.register", "{}").status()));
}

struct BadCase {
  const char* name;
  std::string body;
  const char* why;
};

TEST(SignalMessage, RefusesWhatIsNoRequest) {
  const std::string deep(50, '[');
  const BadCase cases[] = {
      {"empty", "", "JSON object"},
      {"not JSON", "appId=a", "JSON object"},
      {"cut", R"({"appId":"a")", "JSON object"},
      {"list", "[{}]", "JSON object"},
      {"deep", R"({"x":)" + deep + "}", "nested"},
      {"large", R"({"x":")" + std::string(70'000, 'x') + "\"}", "bytes"},
      {"no key", R"({"appId":"a","token":"lt-1"})", "publicKey"},
      {"private key", R"({"publicKey":"k","privateKey":"secret"})", "privateKey"},
      {"name is a number", R"({"publicKey":"k","name":1})", "name"},
      {"name is a list", R"({"publicKey":"k","name":["a"]})", "name"},
      {"long name", R"({"publicKey":"k","name":")" + std::string(300, 'a') + "\"}", "name"},
      {"port is a text", R"({"publicKey":"k","port":"51820"})", "port"},
      {"port is a fraction", R"({"publicKey":"k","port":1.5})", "port"},
      {"port is negative", R"({"publicKey":"k","port":-1})", "port"},
      {"port is large", R"({"publicKey":"k","port":65536})", "port"},
      {"port is huge", R"({"publicKey":"k","port":18446744073709551615})", "port"},
      {"keepalive is a boolean", R"({"publicKey":"k","persistentKeepalive":true})", "persistentKeepalive"},
      {"bad UTF-8", "{\"publicKey\":\"\xff\"}", "JSON object"},
  };
  for (const BadCase& c : cases) {
    const absl::Status status = ParseRegister(c.body).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.why)) << c.name;
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("secret"))) << c.name;
  }
}

TEST(SignalMessage, LeavesUnknownFieldsAndBracketsInTextsAlone) {
  const auto parsed = ParseRegister(R"({"publicKey":"k","name":"[[[[[[[[[[[\"[[[","future":{"a":[1]}})");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->name, "[[[[[[[[[[[\"[[[");
  EXPECT_EQ(parsed->keepalive_seconds, 25);
  EXPECT_EQ(parsed->port, 51820);
}

}  // namespace
}  // namespace lattice::control
