#include "userspace/policy/rule.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/random_policy.h"
#include "tests/testing/seed.h"
#include "userspace/policy/policy_file.h"

namespace lattice::policy {
namespace {

using lattice::testing::RandomRuleSet;
using ::testing::HasSubstr;

Rule Parsed(const char* text) {
  return ParseRule(text, nullptr).value();
}

TEST(Rule, RoundTripsThroughItsText) {
  lattice::testing::Random random(lattice::testing::TestSeed());
  int rules_seen = 0;
  for (int i = 0; i < 2000; ++i) {
    const RuleSet set = RandomRuleSet(random, {});
    for (Rule rule : set.egress) {
      rule.name.clear();
      rule.deny = false;
      const auto again = ParseRule(PrintRule(rule), nullptr);
      ASSERT_TRUE(again.ok()) << again.status();
      ASSERT_EQ(*again, rule) << PrintRule(rule);
      ++rules_seen;
    }
  }
  EXPECT_GT(rules_seen, 10'000);
}

TEST(RuleSet, RoundTripsThroughAPolicyFile) {
  lattice::testing::Random random(lattice::testing::TestSeed());
  for (int i = 0; i < 1000; ++i) {
    const RuleSet set = RandomRuleSet(random, {});
    const auto file = ParsePolicyFile(Print(set), "printed");
    ASSERT_TRUE(file.ok()) << file.status();
    ASSERT_EQ(file->egress, set.egress) << Print(set);
    ASSERT_EQ(file->ingress, set.ingress) << Print(set);
    ASSERT_TRUE(file->warnings.empty());
  }
}

TEST(RuleSet, PrintsDefaultsAndRulesInOrder) {
  RuleSet set;
  set.egress = {Parsed("0.0.0.0/0:443"), Parsed("10.0.0.0/8")};
  set.egress[1].deny = true;
  set.ingress = {Parsed("::/0")};
  set.ingress[0].name = "all-v6";
  EXPECT_EQ(Print(set),
            "# egress default: deny\n"
            "# ingress default: allow\n"
            "egress allow 0.0.0.0/0:443\n"
            "egress deny 10.0.0.0/8\n"
            "ingress allow ::/0 name=all-v6\n");
}

TEST(RuleSet, HashIsSha256OfThePrintedSet) {
  // printf '# egress default: deny\n# ingress default: allow\n' | sha256sum
  EXPECT_EQ(Hash(RuleSet{}), "ba583ca4f0a2309cb0a47c6bf13736250626d04b7257aa39f1e5917cbef6a8f1");
}

TEST(RuleSet, HashTellsApartEverythingThatMatters) {
  RuleSet base;
  base.egress = {Parsed("0.0.0.0/0:443"), Parsed("10.0.0.0/8")};
  RuleSet other = base;
  EXPECT_EQ(Hash(base), Hash(other));
  std::swap(other.egress[0], other.egress[1]);
  EXPECT_NE(Hash(base), Hash(other));
  other = base;
  other.egress[0].deny = true;
  EXPECT_NE(Hash(base), Hash(other));
  other = base;
  other.egress[0].name = "web";
  EXPECT_NE(Hash(base), Hash(other));
  other = base;
  other.egress_default_deny = false;
  EXPECT_NE(Hash(base), Hash(other));
  other = base;
  other.ingress.swap(other.egress);
  EXPECT_NE(Hash(base), Hash(other));
}

TEST(RuleName, TellsDirectionAndActionApart) {
  Rule rule = Parsed("10.0.0.0/8:443");
  EXPECT_EQ(RuleName(rule, /*ingress=*/false), "10.0.0.0/8:443");
  EXPECT_EQ(RuleName(rule, /*ingress=*/true), "ingress 10.0.0.0/8:443");
  rule.deny = true;
  EXPECT_EQ(RuleName(rule, /*ingress=*/false), "deny 10.0.0.0/8:443");
  rule.name = "web";
  EXPECT_EQ(RuleName(rule, /*ingress=*/true), "web");
}

TEST(RuleSet, RefusesTwoRulesOfOneName) {
  RuleSet set;
  set.egress = {Parsed("10.0.0.0/8"), Parsed("11.0.0.0/8")};
  EXPECT_TRUE(CheckRuleSet(set).ok());
  set.ingress = {Parsed("10.0.0.0/8")};
  EXPECT_TRUE(CheckRuleSet(set).ok());
  set.ingress.push_back(set.ingress[0]);
  EXPECT_THAT(std::string(CheckRuleSet(set).message()), HasSubstr("two rules are named \"ingress 10.0.0.0/8\""));
  set.ingress.pop_back();
  set.egress[1].name = "a";
  set.ingress[0].name = "a";
  EXPECT_THAT(std::string(CheckRuleSet(set).message()), HasSubstr("two rules are named \"a\""));
}

TEST(RuleName, IsFreeIfActionPortsOrProtocolDiffer) {
  RuleSet set;
  for (const char* text : {"10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/8:*", "10.0.0.0/8:80", "10.0.0.0/8:80,82",
                           "10.0.0.0/8:80/tcp", "10.0.0.0/8:80/udp", "10.0.0.0/8:icmp", "10.0.0.0/8/47"}) {
    set.egress.push_back(Parsed(text));
    set.egress.push_back(Parsed(text));
    set.egress.back().deny = true;
  }
  EXPECT_TRUE(CheckRuleSet(set).ok()) << CheckRuleSet(set);
}

TEST(RuleSet, RefusesRulesOutOfForm) {
  Rule ports_of_gre = Parsed("10.0.0.0/8/47");
  ports_of_gre.ports = {{80, 80}};
  Rule ports_of_any = Parsed("10.0.0.0/8");
  ports_of_any.ports = {{80, 80}};
  Rule backwards = Parsed("10.0.0.0/8:80");
  backwards.ports = {{90, 80}};
  Rule adjacent = Parsed("10.0.0.0/8:80");
  adjacent.ports = {{80, 80}, {81, 81}};
  Rule all_ports = Parsed("10.0.0.0/8:80");
  all_ports.ports = {{0, 65535}};
  Rule stray_number = Parsed("10.0.0.0/8");
  stray_number.protocol = 6;
  Rule bad_name = Parsed("10.0.0.0/8");
  bad_name.name = "two words";
  for (const Rule& rule : {ports_of_gre, ports_of_any, backwards, adjacent, all_ports, stray_number, bad_name}) {
    EXPECT_EQ(CheckRuleSet({.egress = {rule}}).code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(RuleName, HasABoundedLengthAndAlphabet) {
  EXPECT_TRUE(CheckRuleName("web-1_v2.a:b@d+e").ok());
  EXPECT_TRUE(CheckRuleName(std::string(kMaxRuleNameLength, 'a')).ok());
  EXPECT_FALSE(CheckRuleName(std::string(kMaxRuleNameLength + 1, 'a')).ok());
  EXPECT_FALSE(CheckRuleName("").ok());
  EXPECT_FALSE(CheckRuleName("a b").ok());
  EXPECT_FALSE(CheckRuleName("10.0.0.0/8").ok());
  EXPECT_FALSE(CheckRuleName("a\"b").ok());
  EXPECT_FALSE(CheckRuleName("a#b").ok());
  EXPECT_FALSE(CheckRuleName("caf\xc3\xa9").ok());
}

}  // namespace
}  // namespace lattice::policy
