// The compiled tables against the reference judge, on random policies and packets.
#include <algorithm>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/random_policy.h"
#include "tests/testing/seed.h"
#include "userspace/policy/compiler.h"
#include "userspace/policy/judge.h"
#include "userspace/policy/table_walk.h"

namespace lattice::policy {
namespace {

using lattice::testing::Probe;
using lattice::testing::Random;
using lattice::testing::RandomPolicyOptions;
using lattice::testing::RandomProbe;
using lattice::testing::RandomRuleSet;

struct Case {
  const char* name;
  RandomPolicyOptions policies;
  bool lpm;
  int rounds;
  int probes_a_round;
};

// Slots in an order of their own: a table that names a position instead of a slot fails.
std::vector<uint32_t> Slots(Random& random, size_t count) {
  std::vector<uint32_t> slots(count);
  for (size_t i = 0; i < count; ++i) slots[i] = static_cast<uint32_t>(1000 + i);
  std::shuffle(slots.begin(), slots.end(), random);
  return slots;
}

class CompiledTables : public ::testing::TestWithParam<Case> {};

TEST_P(CompiledTables, DecideAsTheReferenceJudge) {
  const Case& c = GetParam();
  Random random(lattice::testing::TestSeed());
  int by_rule = 0;
  for (int round = 0; round < c.rounds; ++round) {
    const RuleSet rules = RandomRuleSet(random, c.policies);
    ASSERT_TRUE(CheckRuleSet(rules).ok()) << CheckRuleSet(rules);
    const std::vector<uint32_t> egress = Slots(random, rules.egress.size());
    const std::vector<uint32_t> ingress = Slots(random, rules.ingress.size());
    const auto policy = Compile(rules, egress, ingress, 7, {.force_lpm = c.lpm});
    ASSERT_TRUE(policy.ok()) << policy.status();
    for (int i = 0; i < c.probes_a_round; ++i) {
      const Probe probe = RandomProbe(random, rules);
      const Decision want = Judge(rules, probe.direction, probe.remote, probe.protocol, probe.port);
      const TableDecision got = WalkTable(*policy, probe.direction, probe.remote, probe.protocol, probe.port);
      const std::vector<uint32_t>& slots = probe.direction == LAT_EGRESS ? egress : ingress;
      const uint32_t want_rule = want.rule.has_value() ? slots[*want.rule] + 1 : 0;
      by_rule += want_rule != 0;
      ASSERT_EQ(got, (TableDecision{.allow = want.allow, .rule = want_rule}))
          << ToString(probe) << ", round " << round << ", table says " << got.allow << " by " << got.rule << "\n"
          << Print(rules);
    }
  }
  // Probes that no rule matches would make the comparison empty.
  EXPECT_GT(by_rule, c.rounds * c.probes_a_round / 4);
}

INSTANTIATE_TEST_SUITE_P(Random, CompiledTables,
                         ::testing::Values(Case{"FewRules", {.max_rules = 6}, false, 2000, 60},
                                           Case{"SomeRules", {.max_rules = 24}, false, 1000, 120},
                                           Case{"ManyRules", {.max_rules = 400}, false, 40, 2000},
                                           Case{"ManyRulesV4", {.max_rules = 2000, .v6 = false}, false, 5, 2000},
                                           Case{"ManyRulesV6", {.max_rules = 2000, .v4 = false}, false, 5, 2000},
                                           Case{"SomeRulesLpm", {.max_rules = 24}, true, 600, 100},
                                           Case{"ManyRulesLpm", {.max_rules = 400}, true, 10, 1000}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::policy
