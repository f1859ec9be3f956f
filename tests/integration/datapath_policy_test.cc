// Policies in the kernel: replaced as a whole, refused as a whole.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iostream>
#include <random>

#include "absl/strings/str_format.h"
#include "tests/integration/datapath_fixture.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/table_scan.h"

namespace lattice::datapath {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class DatapathPolicy : public DatapathTest {
 protected:
  // What operators read: texts of the rules in the map.
  std::vector<std::string> PinnedRules() {
    std::vector<std::string> texts;
    const auto map = OpenPin(folder() + "/rules");
    EXPECT_TRUE(map.ok()) << map.status();
    if (!map.ok()) return texts;
    const absl::Status status = ScanHash<uint32_t, lat_rule_text>(map->get(), [&](uint32_t, const lat_rule_text& rule) {
      texts.push_back(rule.name[0] == '\0' ? rule.text : absl::StrCat(rule.name, "=", rule.text));
      return true;
    });
    EXPECT_TRUE(status.ok()) << status;
    return texts;
  }
};

policy::RuleSet Without(const policy::RuleSet& rules, bool ingress) {
  policy::RuleSet result = rules;
  if (ingress) result.ingress.clear();
  return result;
}

TEST_F(DatapathPolicy, ASwapChangesVerdictsReceiptAndRuleTexts) {
  const policy::RuleSet first = Without(Allow({"198.51.100.0/24:53/udp"}), true);
  policy::RuleSet second = Without(Allow({}), true);
  second.egress.push_back(NamedRule("198.51.100.0/24:54/udp", "new"));
  const auto datapath = Create(DefaultOptions(), first);
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("198.51.100.7", 54));
  EXPECT_EQ((*datapath)->receipt().generation, 1u);
  EXPECT_EQ((*datapath)->receipt().hash, policy::Hash(first));
  EXPECT_EQ((*datapath)->receipt().rules, 2u);
  EXPECT_EQ((*datapath)->receipt().lookup, "flat");
  EXPECT_THAT(PinnedRules(), UnorderedElementsAre("192.0.2.250/32:9/udp", "198.51.100.0/24:53/udp"));

  const auto receipt = (*datapath)->Apply(second);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  EXPECT_EQ(receipt->generation, 2u);
  EXPECT_FALSE(Crosses("198.51.100.7", 53));
  EXPECT_TRUE(Crosses("198.51.100.7", 54));
  EXPECT_EQ((*datapath)->info().generation, 2u);
  EXPECT_EQ(std::string((*datapath)->info().policy_hash), receipt->hash);

  const absl::Status settled = (*datapath)->Settle();
  ASSERT_TRUE(settled.ok()) << settled;
  EXPECT_THAT(PinnedRules(), UnorderedElementsAre("192.0.2.250/32:9/udp", "new=198.51.100.0/24:54/udp"));
  EXPECT_TRUE(Crosses("198.51.100.7", 54)) << "settling takes nothing that is in use";
}

TEST_F(DatapathPolicy, RecordsOfTheOldPolicyKeepTheNamesOfItsRules) {
  policy::RuleSet first = Allow({}), second = Allow({});
  first.egress.push_back(NamedRule("198.51.100.0/24", "old"));
  second.egress.push_back(NamedRule("198.51.100.0/24", "new"));
  const auto datapath = Create(DefaultOptions(), first);
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  ASSERT_TRUE((*datapath)->Apply(second).ok());
  ASSERT_TRUE((*datapath)->Settle().ok());
  // Slot 1 was the old rule's: marker egress 0, "old" 1, marker ingress 2, "new" 3.
  EXPECT_EQ((*datapath)->RuleName(2, 1), "old");
  EXPECT_EQ((*datapath)->RuleName(4, 2), "new");
  EXPECT_EQ((*datapath)->RuleText(4, 2), "198.51.100.0/24");
  EXPECT_EQ((*datapath)->RuleName(4, 1), "") << "not the name of a rule that came later";
  EXPECT_EQ((*datapath)->RuleName(0, 2), "");
}

TEST_F(DatapathPolicy, HitsFollowTheRuleAndStartAtZeroForANewOne) {
  const auto datapath = Create(DefaultOptions(), Allow({"198.51.100.0/24:53/udp"}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_TRUE(Crosses("198.51.100.8", 53));
  policy::RuleSet second = Allow({"203.0.113.0/24:53/udp", "198.51.100.0/24:53/udp"});
  ASSERT_TRUE((*datapath)->Apply(second).ok());
  EXPECT_TRUE(Crosses("198.51.100.9", 53));
  const auto stats = (*datapath)->ReadStats();
  ASSERT_TRUE(stats.ok()) << stats.status();
  ASSERT_EQ(stats->rules.size(), 4u);
  EXPECT_EQ(stats->rules[1].name, "203.0.113.0/24:53/udp");
  EXPECT_EQ(stats->rules[1].hits, 0u);
  EXPECT_EQ(stats->rules[2].hits, 3u);
}

TEST_F(DatapathPolicy, ABadOneChangesNothing) {
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  policy::RuleSet twice = Allow({});
  twice.egress.push_back(NamedRule("198.51.100.0/24", "x"));
  twice.egress.push_back(NamedRule("203.0.113.0/24", "x"));
  EXPECT_TRUE(absl::IsInvalidArgument((*datapath)->Apply(twice).status()));
  EXPECT_EQ((*datapath)->info().generation, 1u);
  EXPECT_EQ((*datapath)->receipt().generation, 1u);
  EXPECT_FALSE(Crosses("203.0.113.7", 53));
}

policy::RuleSet ManyRules(size_t count, int length, uint64_t seed) {
  std::mt19937_64 random(seed);
  policy::RuleSet rules = Allow({"198.51.100.7/32:53/udp"});
  rules.ingress.clear();
  // A random start and an odd step: no address comes twice.
  const uint32_t start = static_cast<uint32_t>(random());
  for (uint32_t i = 0; i < count; ++i) {
    policy::Rule rule;
    const uint32_t address = (start + i * 2654435761u) << (32 - length);
    rule.prefix = IpPrefix(IpAddress::FromV4(address), length);
    rule.ports = {{443, 443}};
    rule.protocols = policy::ProtocolMatch::kTcpUdp;
    rules.egress.push_back(std::move(rule));
  }
  return rules;
}

TEST_F(DatapathPolicy, AHundredThousandRulesGoInAndOutInOneStore) {
  const uint64_t seed = std::random_device()();
  std::cout << "seed " << seed << "\n";
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  EXPECT_FALSE(Crosses("198.51.100.7", 53));
  for (const uint64_t part : {seed, seed + 1}) {
    const auto receipt = (*datapath)->Apply(ManyRules(100'000, 24, part));
    ASSERT_TRUE(receipt.ok()) << receipt.status();
    EXPECT_EQ(receipt->rules, 100'002u);
    std::cout << absl::StrFormat("100,000 rules: %.1f ms, %d bytes, %s\n", receipt->apply_ms, receipt->bytes,
                                 receipt->lookup);
    EXPECT_TRUE(Crosses("198.51.100.7", 53));
    EXPECT_FALSE(Crosses("198.51.100.8", 53));
    ASSERT_TRUE((*datapath)->Settle().ok());
    EXPECT_EQ(PinnedRules().size(), 100'002u);
  }
  ASSERT_TRUE((*datapath)->Apply(Allow({})).ok());
  EXPECT_FALSE(Crosses("198.51.100.7", 53));
  ASSERT_TRUE((*datapath)->Settle().ok());
  EXPECT_EQ(PinnedRules().size(), 2u);
}

TEST_F(DatapathPolicy, OverTheBudgetIsRefusedAndTheOldOneStays) {
  Options options = DefaultOptions();
  options.policy_memory_bytes = 2 << 20;  // one block
  const auto datapath = Create(options, Allow({"198.51.100.7/32:53/udp"}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto refused = (*datapath)->Apply(ManyRules(100'000, 24, 1));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("--policy-memory"));
  EXPECT_EQ((*datapath)->info().generation, 1u);
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("198.51.100.8", 53));
}

TEST_F(DatapathPolicy, MoreRulesThanSlotsAreRefused) {
  const auto datapath = Create(DefaultOptions(), Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  const auto refused = (*datapath)->Apply(ManyRules(LAT_MAX_RULES, 32, 1));
  EXPECT_TRUE(absl::IsResourceExhausted(refused.status())) << refused.status();
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("131072"));
}

TEST_F(DatapathPolicy, TheLpmFallbackJudgesTheSame) {
  Options options = DefaultOptions();
  options.force_lpm = true;
  const auto datapath = Create(options, Allow({}));
  ASSERT_TRUE(datapath.ok()) << datapath.status();
  policy::RuleSet rules = ManyRules(20'000, 32, 7);
  rules.egress.push_back(NamedRule("[2001:db8::7/128]:53/udp", "six"));
  const auto receipt = (*datapath)->Apply(rules);
  ASSERT_TRUE(receipt.ok()) << receipt.status();
  ASSERT_EQ(receipt->lookup, "lpm") << receipt->bytes;
  EXPECT_TRUE(Crosses("198.51.100.7", 53));
  EXPECT_FALSE(Crosses("198.51.100.7", 54));
  EXPECT_FALSE(Crosses("198.51.100.8", 53));
  EXPECT_TRUE(Crosses("2001:db8::7", 53));
  EXPECT_FALSE(Crosses("2001:db8::8", 53));
  const auto back = (*datapath)->Apply(Allow({}));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_FALSE(Crosses("198.51.100.7", 53));
}

}  // namespace
}  // namespace lattice::datapath
