#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "userspace/policy/rule.h"

namespace lattice::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

IpPrefix Prefix(const char* text) {
  return IpPrefix::Parse(text).value();
}

struct GoodCase {
  const char* name;
  const char* text;
  Rule rule;
  const char* printed;
};

class GoodRule : public ::testing::TestWithParam<GoodCase> {};

TEST_P(GoodRule, ParsesAndPrints) {
  std::vector<std::string> warnings;
  const auto rule = ParseRule(GetParam().text, &warnings);
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(*rule, GetParam().rule) << PrintRule(*rule);
  EXPECT_EQ(PrintRule(*rule), GetParam().printed);
  EXPECT_THAT(warnings, IsEmpty());
  EXPECT_TRUE(CheckRule(*rule).ok());
  EXPECT_EQ(ParseRule(PrintRule(*rule), &warnings).value(), *rule);
}

Rule Any(const char* prefix) {
  return {.prefix = Prefix(prefix)};
}
Rule TcpUdp(const char* prefix, std::initializer_list<PortRange> ports) {
  return {.prefix = Prefix(prefix), .ports = ports, .protocols = ProtocolMatch::kTcpUdp};
}
Rule One(const char* prefix, std::initializer_list<PortRange> ports, uint8_t protocol) {
  return {.prefix = Prefix(prefix), .ports = ports, .protocols = ProtocolMatch::kOne, .protocol = protocol};
}

INSTANTIATE_TEST_SUITE_P(
    Grammar, GoodRule,
    ::testing::Values(
        GoodCase{"HostPrefix", "10.42.0.10/32", Any("10.42.0.10/32"), "10.42.0.10/32"},
        GoodCase{"BareAddress", "10.0.0.1", Any("10.0.0.1/32"), "10.0.0.1/32"},
        GoodCase{"Everything", "0.0.0.0/0", Any("0.0.0.0/0"), "0.0.0.0/0"},
        GoodCase{"OnePort", "0.0.0.0/0:443", TcpUdp("0.0.0.0/0", {{443, 443}}), "0.0.0.0/0:443"},
        GoodCase{"BareAddressWithPort", "192.0.2.7:53", TcpUdp("192.0.2.7/32", {{53, 53}}), "192.0.2.7/32:53"},
        GoodCase{"RangeOfTcp", "10.0.0.0/8:8000-8100/tcp", One("10.0.0.0/8", {{8000, 8100}}, 6),
                 "10.0.0.0/8:8000-8100/tcp"},
        GoodCase{"SeveralRanges", "10.0.0.0/8:443,22,8000-8100/udp",
                 One("10.0.0.0/8", {{22, 22}, {443, 443}, {8000, 8100}}, 17), "10.0.0.0/8:22,443,8000-8100/udp"},
        GoodCase{"OverlappingRangesMerge", "10.0.0.0/8:10-20,15-30,31", TcpUdp("10.0.0.0/8", {{10, 31}}),
                 "10.0.0.0/8:10-31"},
        GoodCase{"AllPortsAreAny", "10.0.0.0/8:0-65535/tcp", One("10.0.0.0/8", {}, 6), "10.0.0.0/8:*/tcp"},
        GoodCase{"PortZeroAndLast", "10.0.0.0/8:0,65535", TcpUdp("10.0.0.0/8", {{0, 0}, {65535, 65535}}),
                 "10.0.0.0/8:0,65535"},
        GoodCase{"AnyPortOfUdp", "10.0.0.0/8:*/udp", One("10.0.0.0/8", {}, 17), "10.0.0.0/8:*/udp"},
        GoodCase{"AnyPort", "10.0.0.0/8:*", TcpUdp("10.0.0.0/8", {}), "10.0.0.0/8:*"},
        GoodCase{"TcpAfterSlash", "10.0.0.0/8/tcp", One("10.0.0.0/8", {}, 6), "10.0.0.0/8:*/tcp"},
        GoodCase{"TcpAfterBareAddress", "10.0.0.1/tcp", One("10.0.0.1/32", {}, 6), "10.0.0.1/32:*/tcp"},
        GoodCase{"UpperCase", "10.0.0.1:80/TCP", One("10.0.0.1/32", {{80, 80}}, 6), "10.0.0.1/32:80/tcp"},
        GoodCase{"TcpByNumber", "10.0.0.0/8:80/6", One("10.0.0.0/8", {{80, 80}}, 6), "10.0.0.0/8:80/tcp"},
        GoodCase{"IcmpAfterColon", "10.0.0.0/8:icmp", One("10.0.0.0/8", {}, 1), "10.0.0.0/8:icmp"},
        GoodCase{"IcmpAfterSlash", "10.0.0.0/8/icmp", One("10.0.0.0/8", {}, 1), "10.0.0.0/8:icmp"},
        GoodCase{"IcmpByNumber", "10.0.0.0/8/1", One("10.0.0.0/8", {}, 1), "10.0.0.0/8:icmp"},
        GoodCase{"StarIcmp", "10.0.0.0/8:*/icmp", One("10.0.0.0/8", {}, 1), "10.0.0.0/8:icmp"},
        GoodCase{"Gre", "192.0.2.0/24/47", One("192.0.2.0/24", {}, 47), "192.0.2.0/24/47"},
        GoodCase{"LastProtocol", "192.0.2.0/24/255", One("192.0.2.0/24", {}, 255), "192.0.2.0/24/255"},
        GoodCase{"Icmpv6NumberOnV4IsJustANumber", "10.0.0.0/8/58", One("10.0.0.0/8", {}, 58), "10.0.0.0/8/58"},
        GoodCase{"V6Prefix", "2001:db8::/32", Any("2001:db8::/32"), "2001:db8::/32"},
        GoodCase{"V6Address", "2001:db8::1", Any("2001:db8::1/128"), "2001:db8::1/128"},
        GoodCase{"V6Everything", "::/0", Any("::/0"), "::/0"},
        GoodCase{"V6BracketsAndPort", "[2001:db8::/32]:443", TcpUdp("2001:db8::/32", {{443, 443}}),
                 "[2001:db8::/32]:443"},
        GoodCase{"V6BracketsAddress", "[2001:db8::1]:443/udp", One("2001:db8::1/128", {{443, 443}}, 17),
                 "[2001:db8::1/128]:443/udp"},
        GoodCase{"V6BracketsAlone", "[2001:db8::/32]", Any("2001:db8::/32"), "2001:db8::/32"},
        GoodCase{"V6LengthThenPort", "2001:db8::/32:443", TcpUdp("2001:db8::/32", {{443, 443}}), "[2001:db8::/32]:443"},
        GoodCase{"V6Icmp", "2001:db8::/32/icmp", One("2001:db8::/32", {}, 58), "[2001:db8::/32]:icmp"},
        GoodCase{"V6Icmpv6", "[2001:db8::/32]:icmpv6", One("2001:db8::/32", {}, 58), "[2001:db8::/32]:icmp"},
        GoodCase{"IcmpNumberOnV6IsJustANumber", "2001:db8::/32/1", One("2001:db8::/32", {}, 1), "2001:db8::/32/1"},
        GoodCase{"MappedAddressIsV4", "::ffff:192.0.2.1", Any("192.0.2.1/32"), "192.0.2.1/32"},
        GoodCase{"V4InBrackets", "[10.0.0.0/8]:443", TcpUdp("10.0.0.0/8", {{443, 443}}), "10.0.0.0/8:443"},
        GoodCase{"BlanksAround", "  10.0.0.0/8:443\t", TcpUdp("10.0.0.0/8", {{443, 443}}), "10.0.0.0/8:443"}),
    [](const auto& test) { return test.param.name; });

struct BadCase {
  const char* name;
  const char* text;
  const char* place;
  const char* expected;
};

class BadRule : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadRule, NamesTextColumnAndWhatWasExpected) {
  const auto rule = ParseRule(GetParam().text, nullptr);
  ASSERT_FALSE(rule.ok()) << PrintRule(*rule);
  EXPECT_EQ(rule.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(rule.status().message()), HasSubstr(GetParam().text));
  EXPECT_THAT(std::string(rule.status().message()), HasSubstr(GetParam().place));
  EXPECT_THAT(std::string(rule.status().message()), HasSubstr(GetParam().expected));
}

INSTANTIATE_TEST_SUITE_P(
    Grammar, BadRule,
    ::testing::Values(BadCase{"Empty", "", "column 1:", "expected an address"},
                      BadCase{"Blank", "  ", "column 3:", "expected an address"},
                      BadCase{"HostName", "example.com:443", "column 1:", "expected an address"},
                      BadCase{"ShortAddress", "10.0/8", "column 1:", "\"10.0\" is no IP address"},
                      BadCase{"OctetTooBig", "10.0.0.256", "column 1:", "is no IP address"},
                      BadCase{"Zone", "fe80::1%eth0", "column 8:", "expected the end of the rule"},
                      BadCase{"LengthTooBig", "10.0.0.0/33", "column 10:", "prefix length 33: expected 0 to 32"},
                      BadCase{"ProtocolWithoutLength", "10.0.0.1/47", "column 10:", "expected 0 to 32"},
                      BadCase{"V6LengthTooBig", "2001:db8::/129", "column 12:", "expected 0 to 128"},
                      BadCase{"LengthMissing", "10.0.0.0/", "column 10:", "expected tcp, udp"},
                      BadCase{"LengthNegative", "10.0.0.0/-1", "column 10:", "expected tcp, udp"},
                      BadCase{"LengthHuge", "10.0.0.0/99999999999999999999", "column 10:", "expected 0 to 32"},
                      BadCase{"MaskInsteadOfLength", "10.0.0.0/255.0.0.0", "column 10:", "expected 0 to 32"},
                      BadCase{"PortTooBig", "10.0.0.0/8:65536", "column 12:", "port 65536: expected 0 to 65535"},
                      BadCase{"PortHuge", "10.0.0.0/8:99999999999999", "column 12:", "expected 0 to 65535"},
                      BadCase{"PortMissing", "10.0.0.0/8:", "column 12:", "expected a port"},
                      BadCase{"PortNegative", "10.0.0.0/8:-1", "column 12:", "expected a port"},
                      BadCase{"RangeWithoutEnd", "10.0.0.0/8:80-", "column 15:", "expected a port"},
                      BadCase{"RangeBackwards", "10.0.0.0/8:90-80", "column 12:", "expected the lower port first"},
                      BadCase{"PortListEndsInComma", "10.0.0.0/8:80,", "column 14:", "expected the end of the rule"},
                      BadCase{"UnknownProtocol", "10.0.0.0/8:80/sctp", "column 15:", "protocol \"sctp\": expected tcp"},
                      BadCase{"ServiceName", "10.0.0.0/8:https", "column 12:", "protocol \"https\": expected tcp"},
                      BadCase{"ProtocolTooBig", "10.0.0.0/8/256", "column 12:", "expected tcp, udp"},
                      BadCase{"ProtocolMissing", "10.0.0.0/8:80/", "column 15:", "expected tcp, udp"},
                      BadCase{"PortOfIcmp", "10.0.0.0/8:80/icmp", "column 14:", "expected tcp or udp after a port"},
                      BadCase{"PortOfGre", "10.0.0.0/8:80/47", "column 14:", "expected tcp or udp after a port"},
                      BadCase{"TwoProtocols", "10.0.0.0/8:icmp/icmp", "column 16:", "a second protocol"},
                      BadCase{"Icmpv6OfV4", "10.0.0.0/8:icmpv6", "column 12:", "icmpv6 with an IPv4 prefix"},
                      BadCase{"BracketOpen", "[2001:db8::/32:443", "column 15:", "expected \"]\""},
                      BadCase{"LengthBehindBrackets", "[2001:db8::]/32", "column 13:", "inside the brackets"},
                      BadCase{"V6PortWithoutBrackets", "2001:db8::1:2:3:4:5:443:1", "column 1:", "is no IP address"},
                      BadCase{"Rest", "10.0.0.0/8:80 tcp", "column 15:", "expected the end of the rule"},
                      BadCase{"TwoRules", "10.0.0.0/8,11.0.0.0/8", "column 11:", "expected the end of the rule"}),
    [](const auto& test) { return test.param.name; });

TEST(RuleParser, MasksHostBitsWithAWarning) {
  std::vector<std::string> warnings;
  const auto rule = ParseRule("10.1.2.3/8:443", &warnings);
  ASSERT_TRUE(rule.ok()) << rule.status();
  EXPECT_EQ(PrintRule(*rule), "10.0.0.0/8:443");
  EXPECT_THAT(warnings, ElementsAre("\"10.1.2.3/8\" has bits set behind the prefix length: taken as 10.0.0.0/8"));
}

TEST(RuleParser, QuotesControlCharactersInErrors) {
  const auto rule = ParseRule(absl::string_view("10.0.0.0/8\0:1\n", 14), nullptr);
  EXPECT_THAT(std::string(rule.status().message()), HasSubstr("\"10.0.0.0/8\\000:1\\n\", column 11"));
}

std::vector<std::string> PrintAll(const std::vector<Rule>& rules) {
  std::vector<std::string> printed;
  for (const Rule& rule : rules) printed.push_back(PrintRule(rule));
  return printed;
}

TEST(RuleList, SplitsAtCommasButNotInsidePorts) {
  const auto rules = ParseRuleList(
      "10.42.0.10/32, 0.0.0.0/0:443,80 ,[2001:db8::/32]:22,8000-8100/tcp,2001:db8:1::/48,10::/16,192.0.2.1:53,1.1.1.1",
      nullptr);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_THAT(PrintAll(*rules), ElementsAre("10.42.0.10/32", "0.0.0.0/0:80,443", "[2001:db8::/32]:22,8000-8100/tcp",
                                            "2001:db8:1::/48", "10::/16", "192.0.2.1/32:53", "1.1.1.1/32"));
}

TEST(RuleList, RefusesEmptyItems) {
  for (const char* text : {"", ",", "10.0.0.0/8,", ",10.0.0.0/8", "10.0.0.0/8,,11.0.0.0/8"}) {
    EXPECT_FALSE(ParseRuleList(text, nullptr).ok()) << text;
  }
}

TEST(RuleList, CountsColumnsFromTheStartOfTheList) {
  const auto rules = ParseRuleList("10.0.0.0/8,11.0.0.0/99", nullptr);
  EXPECT_THAT(std::string(rules.status().message()), HasSubstr("column 21: prefix length 99"));
}

}  // namespace
}  // namespace lattice::policy
