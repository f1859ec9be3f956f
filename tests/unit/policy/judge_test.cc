#include "userspace/policy/judge.h"

#include <optional>
#include <string>

#include "gtest/gtest.h"
#include "userspace/policy/policy_file.h"

namespace lattice::policy {
namespace {

struct Case {
  const char* name;
  const char* policy;
  lat_direction direction = LAT_EGRESS;
  const char* remote;
  uint8_t protocol = 6;
  std::optional<uint16_t> port;
  bool allow;
  std::optional<size_t> rule;
};

class JudgeTable : public ::testing::TestWithParam<Case> {};

TEST_P(JudgeTable, DecidesAndNamesTheRule) {
  const Case& c = GetParam();
  const PolicyFile file = ParsePolicyFile(c.policy, "policy").value();
  const RuleSet rules{.egress = file.egress, .ingress = file.ingress};
  const Decision decision = Judge(rules, c.direction, IpAddress::Parse(c.remote).value(), c.protocol, c.port);
  EXPECT_EQ(decision.allow, c.allow);
  EXPECT_EQ(decision.rule, c.rule);
}

constexpr char kWeb[] = "0.0.0.0/0:443\n";
constexpr char kMixed[] = "10.0.0.0/8\ndeny 10.1.0.0/16:25\n0.0.0.0/0:443/tcp\ndeny 10.1.2.3\n";

INSTANTIATE_TEST_SUITE_P(
    Egress, JudgeTable,
    ::testing::Values(
        Case{.name = "NoRules", .policy = "", .remote = "192.0.2.1", .port = 443, .allow = false},
        Case{.name = "PortInRule", .policy = kWeb, .remote = "192.0.2.1", .port = 443, .allow = true, .rule = 0},
        Case{.name = "PortOfUdp",
             .policy = kWeb,
             .remote = "192.0.2.1",
             .protocol = 17,
             .port = 443,
             .allow = true,
             .rule = 0},
        Case{.name = "OtherPort", .policy = kWeb, .remote = "192.0.2.1", .port = 444, .allow = false},
        Case{.name = "IcmpOfAPortRule", .policy = kWeb, .remote = "192.0.2.1", .protocol = 1, .allow = false},
        Case{.name = "SctpOfAPortRule",
             .policy = kWeb,
             .remote = "192.0.2.1",
             .protocol = 132,
             .port = 443,
             .allow = false},
        // A later fragment has no ports, so a port rule alone can never allow it.
        Case{.name = "NoPortsOfAllowRule", .policy = kWeb, .remote = "192.0.2.1", .allow = false},
        Case{.name = "NoPortsOfDenyRule", .policy = kMixed, .remote = "10.1.0.1", .allow = false, .rule = 1},
        Case{.name = "NoPortsOfAnyRule", .policy = kMixed, .remote = "10.2.0.1", .allow = true, .rule = 0},
        Case{.name = "V4EverythingIsNotV6", .policy = kWeb, .remote = "2001:db8::1", .port = 443, .allow = false},
        Case{.name = "DenyWinsOverEarlierAllow",
             .policy = kMixed,
             .remote = "10.1.0.1",
             .port = 25,
             .allow = false,
             .rule = 1},
        Case{.name = "DenyOfOnePortLeavesOthers",
             .policy = kMixed,
             .remote = "10.1.0.1",
             .port = 26,
             .allow = true,
             .rule = 0},
        Case{.name = "DenyOfPortsLeavesIcmp",
             .policy = kMixed,
             .remote = "10.1.0.1",
             .protocol = 1,
             .allow = true,
             .rule = 0},
        Case{.name = "FirstDenyNames", .policy = kMixed, .remote = "10.1.2.3", .port = 25, .allow = false, .rule = 1},
        Case{.name = "FirstAllowNames", .policy = kMixed, .remote = "10.2.0.1", .port = 443, .allow = true, .rule = 0},
        // Plain longest match would lose the ports of the covering rule.
        Case{.name = "CoveringRuleStillAllows",
             .policy = "0.0.0.0/0:443\n10.1.0.0/16:22\n",
             .remote = "10.1.0.1",
             .port = 443,
             .allow = true,
             .rule = 0},
        Case{.name = "PrefixFirstAddress",
             .policy = "192.0.2.64/26\n",
             .remote = "192.0.2.64",
             .allow = true,
             .rule = 0},
        Case{.name = "PrefixLastAddress",
             .policy = "192.0.2.64/26\n",
             .remote = "192.0.2.127",
             .allow = true,
             .rule = 0},
        Case{.name = "BeforePrefix", .policy = "192.0.2.64/26\n", .remote = "192.0.2.63", .allow = false},
        Case{.name = "AfterPrefix", .policy = "192.0.2.64/26\n", .remote = "192.0.2.128", .allow = false},
        Case{.name = "Icmpv6IsIcmpOfV6",
             .policy = "2001:db8::/32:icmp\n",
             .remote = "2001:db8::1",
             .protocol = 58,
             .allow = true,
             .rule = 0},
        Case{.name = "IcmpOfV4OverV6",
             .policy = "2001:db8::/32:icmp\n",
             .remote = "2001:db8::1",
             .protocol = 1,
             .allow = false},
        Case{.name = "ProtocolNumber",
             .policy = "192.0.2.0/24/47\n",
             .remote = "192.0.2.1",
             .protocol = 47,
             .allow = true,
             .rule = 0},
        Case{.name = "OtherProtocolNumber",
             .policy = "192.0.2.0/24/47\n",
             .remote = "192.0.2.1",
             .protocol = 50,
             .allow = false}),
    [](const auto& test) { return test.param.name; });

INSTANTIATE_TEST_SUITE_P(Ingress, JudgeTable,
                         ::testing::Values(Case{.name = "OpenByDefault",
                                                .policy = "10.0.0.0/8\n",
                                                .direction = LAT_INGRESS,
                                                .remote = "192.0.2.1",
                                                .port = 22,
                                                .allow = true},
                                           Case{.name = "DenyRule",
                                                .policy = "ingress deny 192.0.2.0/24:22\n",
                                                .direction = LAT_INGRESS,
                                                .remote = "192.0.2.1",
                                                .port = 22,
                                                .allow = false,
                                                .rule = 0},
                                           Case{.name = "EgressRulesDoNotCount",
                                                .policy = "deny 192.0.2.0/24\n",
                                                .direction = LAT_INGRESS,
                                                .remote = "192.0.2.1",
                                                .port = 22,
                                                .allow = true}),
                         [](const auto& test) { return test.param.name; });

TEST(Judge, DefaultsAreOfEachDirection) {
  const IpAddress remote = IpAddress::Parse("192.0.2.1").value();
  const RuleSet open{.egress_default_deny = false, .ingress_default_deny = true};
  EXPECT_EQ(Judge(open, LAT_EGRESS, remote, 6, 80), (Decision{.allow = true}));
  EXPECT_EQ(Judge(open, LAT_INGRESS, remote, 6, 80), (Decision{.allow = false}));
}

}  // namespace
}  // namespace lattice::policy
