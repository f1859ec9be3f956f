#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/unit/control/registry_fixture.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/netmap.h"

namespace lattice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Agent AgentNamed(const std::string& name, int number) {
  Agent agent;
  agent.name = agent.app_id = name;
  agent.name_space = "default";
  agent.public_key = Key(number);
  agent.address = absl::StrCat("10.42.0.", number);
  agent.endpoint = absl::StrCat("192.0.2.", number, ":51820");
  return agent;
}

NetMap MapWith(const std::vector<std::string>& rules) {
  return {.version = 7,
          .self = AgentNamed("a", 2),
          .peers = {AgentNamed("b", 3)},
          .policy = {.rules = rules, .version = 4},
          .overlay = "10.42.0.0/16"};
}

nlohmann::json Encode(const NetMap& map) {
  return nlohmann::json::parse(NetMapJson(map, absl::FromUnixSeconds(1'770'000'000)));
}

TEST(NetMapMessage, HasUpstreamsKeysAndTypes) {
  const nlohmann::json message = Encode(MapWith({"10.42.0.3/32:443/tcp"}));
  EXPECT_EQ(message["configVersion"], "7");
  EXPECT_TRUE(message["eventType"].is_number_integer());
  EXPECT_EQ(message["timestamp"], 1'770'000'000);
  EXPECT_EQ(message["peer"]["address"], "10.42.0.2");
  EXPECT_EQ(message["peer"]["peerId"], PeerId(Key(2)));
  EXPECT_TRUE(message["peer"]["peerId"].is_number_unsigned());
  ASSERT_THAT(message["computedpeers"], SizeIs(1));
  const nlohmann::json& peer = message["computedpeers"][0];
  EXPECT_EQ(peer["publicKey"], Key(3));
  EXPECT_EQ(peer["allowedIps"], "10.42.0.3/32");
  EXPECT_EQ(peer["endpoint"], "192.0.2.3:51820");
  EXPECT_EQ(peer["persistentKeepalive"], 25);
  EXPECT_EQ(peer["port"], 51820);
  EXPECT_FALSE(peer.contains("privateKey"));
  EXPECT_FALSE(peer.contains("token"));
  const nlohmann::json egress = message["computedrules"]["egress"];
  ASSERT_THAT(egress, SizeIs(2));
  EXPECT_EQ(egress[0], nlohmann::json::parse(R"({"chainName":"LATTICE-EGRESS","peers":["10.42.0.3/32"],
                                                 "protocol":"tcp","port":443,"action":"ACCEPT"})"));
  EXPECT_EQ(egress[1]["action"], "DROP");
}

TEST(NetMapMessage, SaysLessThanWasAllowedWhereUpstreamsFormIsTooNarrow) {
  const nlohmann::json egress =
      Encode(MapWith({"10.0.0.0/8:1-1000/tcp", "deny 10.0.0.0/8:1-1000/udp"}))["computedrules"]["egress"];
  ASSERT_THAT(egress, SizeIs(2));
  EXPECT_EQ(egress[0]["action"], "DROP");
  EXPECT_EQ(egress[0]["protocol"], "udp");
  EXPECT_FALSE(egress[0].contains("port"));
  EXPECT_EQ(egress[1]["peers"][0], "0.0.0.0/0");
}

TEST(NetMapMessage, ComesBackAsTheAgentsConfiguration) {
  const std::vector<std::string> rules = {"10.0.0.0/8:1-1000/tcp", "deny 10.42.0.3/32"};
  std::vector<std::string> warnings;
  const auto config = ParseNetMap(NetMapJson(MapWith(rules), absl::Now()), &warnings);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_EQ(config->version, "7");
  EXPECT_EQ(config->status, "active");
  EXPECT_EQ(config->address, "10.42.0.2");
  EXPECT_EQ(config->rules, rules);
  ASSERT_THAT(config->peers, SizeIs(1));
  EXPECT_EQ(config->peers[0].allowed_ips[0].ToString(), "10.42.0.3/32");
  EXPECT_EQ(config->peers[0].keepalive_seconds, 25);
}

TEST(NetMapMessage, OfUpstreamIsUnderstood) {
  std::vector<std::string> warnings;
  const auto config = ParseNetMap(R"({"eventType":0,"configVersion":"v9","peer":{"address":"10.0.0.5/24","x":1},
    "computedpeers":[{"publicKey":"bad","allowedIps":"10.0.0.6/32"},
                     {"publicKey":")" +
                                      Key(3) + R"(","allowedIps":"10.0.0.7/32, 10.1.0.0/16","port":0}],
    "computedrules":{"egress":[{"chainName":"C","peers":["10.0.0.7"],"protocol":"TCP","port":80,"action":"Accept"},
                               {"peers":["10.0.0.8/32"],"protocol":"icmp","action":"ACCEPT"},
                               {"peers":["0.0.0.0/0"],"action":"drop"}],
                     "ingress":[{"peers":["10.0.0.9"],"action":"DROP"}]}})",
                                  &warnings);
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->address, "10.0.0.5");
  EXPECT_THAT(warnings, ElementsAre(HasSubstr("publicKey")));
  ASSERT_THAT(config->peers, SizeIs(1));
  EXPECT_THAT(config->peers[0].allowed_ips, SizeIs(2));
  EXPECT_THAT(config->rules, ElementsAre("egress allow 10.0.0.7/32:80/tcp", "egress allow 10.0.0.8/32:icmp",
                                         "ingress deny 10.0.0.9/32"));
}

TEST(NetMapMessage, ThatIsNotUnderstoodIsRefusedAsAWhole) {
  const struct {
    const char* name;
    std::string text;
    const char* why;
  } cases[] = {
      {"empty", "", "JSON object"},
      {"cut", R"({"peer":{)", "JSON object"},
      {"list", "[]", "JSON object"},
      {"deep", std::string(100, '['), "nested"},
      {"address is no address", R"({"peer":{"address":"here"}})", "here"},
      {"address is a number", R"({"peer":{"address":7}})", "address"},
      {"peers are no list", R"({"computedpeers":{}})", "computedpeers"},
      {"peer is a text", R"({"computedpeers":["x"]})", "computedpeers"},
      {"unknown action", R"({"computedrules":{"egress":[{"peers":["10.0.0.1"],"action":"MAYBE"}]}})", "action"},
      {"rule is no rule", R"({"policy":{"rules":["everything"]}})", "rule:1"},
      {"rule with a line end", R"({"policy":{"rules":["10.0.0.1\n0.0.0.0/0"]}})", "line end"},
      {"rules are no list", R"({"policy":{"rules":"10.0.0.1"}})", "rules"},
  };
  for (const auto& c : cases) {
    std::vector<std::string> warnings;
    const absl::Status status = ParseNetMap(c.text, &warnings).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.name << ": " << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.why)) << c.name;
  }
}

TEST(PeerId, IsTheFirstEightBytesOfTheKeyBigEndian) {
  EXPECT_EQ(PeerId(Base64(std::string("\x01\x02\x03\x04\x05\x06\x07\x08", 8) + std::string(24, 'x'))),
            0x0102030405060708u);
  EXPECT_EQ(PeerId("no key"), 0u);
}

}  // namespace
}  // namespace lattice::control
