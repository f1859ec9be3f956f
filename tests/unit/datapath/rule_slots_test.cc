#include "userspace/datapath/rule_slots.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace lattice::datapath {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

policy::Rule Parse(const std::string& text) {
  return policy::ParseRule(text, nullptr).value();
}

// Egress rules with a name each, all with the text 10.0.0.0/8.
policy::RuleSet Named(const std::vector<std::string>& names) {
  policy::RuleSet rules;
  for (const std::string& name : names) {
    rules.egress.push_back(Parse("10.0.0.0/8"));
    rules.egress.back().name = name;
  }
  return rules;
}

policy::RuleSet Unnamed(const std::vector<std::string>& egress, const std::vector<std::string>& ingress = {}) {
  policy::RuleSet rules;
  for (const std::string& text : egress) rules.egress.push_back(Parse(text));
  for (const std::string& text : ingress) rules.ingress.push_back(Parse(text));
  return rules;
}

RuleSlots::Assignment Apply(RuleSlots& slots, const policy::RuleSet& rules, uint32_t generation) {
  const auto plan = slots.Plan(rules);
  EXPECT_TRUE(plan.ok()) << plan.status();
  slots.Commit(*plan, rules, generation);
  return *plan;
}

std::string Name(const RuleSlots::Tenancy* tenancy) {
  return tenancy == nullptr ? "nobody" : tenancy->rule.name;
}

TEST(RuleSlots, FirstPolicyGetsSlotsInItsOrder) {
  RuleSlots slots(8);
  const auto plan = Apply(slots, Named({"a", "b", "c"}), 1);
  EXPECT_THAT(plan.slots, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.fresh, ElementsAre(0, 1, 2));
  EXPECT_THAT(plan.freed, IsEmpty());
}

TEST(RuleSlots, ANamedRuleKeepsItsSlotThroughAReorderingAndANewText) {
  RuleSlots slots(8);
  Apply(slots, Named({"a", "b"}), 1);
  policy::RuleSet changed = Named({"b", "new", "a"});
  changed.egress[2].deny = true;
  const auto plan = Apply(slots, changed, 2);
  EXPECT_THAT(plan.slots, ElementsAre(1, 2, 0));
  EXPECT_THAT(plan.fresh, ElementsAre(2));
  EXPECT_THAT(plan.changed, ElementsAre(0));
  EXPECT_THAT(plan.freed, IsEmpty());
  EXPECT_TRUE(slots.Owner(0)->rule.deny);
}

TEST(RuleSlots, AnUnnamedRuleIsKnownByAllItSays) {
  RuleSlots slots(16);
  const std::vector<std::string> texts = {"10.0.0.0/8",         "10.0.0.0/9",     "10.0.0.0/8:443",
                                          "10.0.0.0/8:443/tcp", "[::/8]:443/tcp", "10.0.0.0/8:443-444"};
  Apply(slots, Unnamed(texts, {"10.0.0.0/8"}), 1);
  policy::RuleSet same = Unnamed(texts, {"10.0.0.0/8"});
  EXPECT_THAT(Apply(slots, same, 2).fresh, IsEmpty());
  same.egress[0].deny = true;
  const auto plan = Apply(slots, same, 3);
  EXPECT_THAT(plan.fresh, ElementsAre(7));
  EXPECT_THAT(plan.freed, ElementsAre(0));
  EXPECT_TRUE(slots.Owner(6)->ingress);
}

TEST(RuleSlots, ARuleThatIsThereTwiceIsRefusedByItsName) {
  RuleSlots slots(16);
  const policy::RuleSet fresh = Unnamed({"10.0.0.0/8:443", "10.0.0.0/8:443"});
  EXPECT_TRUE(absl::IsInvalidArgument(slots.Plan(fresh).status()));
  Apply(slots, Unnamed({"10.0.0.0/8:443"}), 1);
  const auto known = slots.Plan(fresh);
  EXPECT_TRUE(absl::IsInvalidArgument(known.status()));
  EXPECT_THAT(std::string(known.status().message()), ::testing::HasSubstr("10.0.0.0/8:443"));
  EXPECT_TRUE(slots.Plan(Unnamed({"10.0.0.0/8"}, {"10.0.0.0/8"})).ok()) << "of two directions";
}

TEST(RuleSlots, APlanChangesNothing) {
  RuleSlots slots(8);
  Apply(slots, Named({"a"}), 1);
  ASSERT_TRUE(slots.Plan(Named({"b", "c"})).ok());
  EXPECT_EQ(Name(slots.Owner(0)), "a");
  EXPECT_EQ(slots.Owner(1), nullptr);
  EXPECT_THAT(slots.Plan(Named({"a"}))->slots, ElementsAre(0));
}

TEST(RuleSlots, ANewPolicyNeverGetsASlotOfThePolicyInForce) {
  RuleSlots slots(4);
  Apply(slots, Named({"a", "b"}), 1);
  const auto second = Apply(slots, Named({"c", "d"}), 2);
  EXPECT_THAT(second.slots, ElementsAre(2, 3));
  EXPECT_THAT(second.freed, UnorderedElementsAre(0, 1));
  EXPECT_THAT(Apply(slots, Named({"e", "f"}), 3).slots, ElementsAre(0, 1));
}

TEST(RuleSlots, ASlotIsReusedAsLateAsPossible) {
  RuleSlots slots(6);
  Apply(slots, Named({"a"}), 1);
  EXPECT_THAT(Apply(slots, Named({"b"}), 2).slots, ElementsAre(1));
  EXPECT_THAT(Apply(slots, Named({"c"}), 3).slots, ElementsAre(2));
  EXPECT_THAT(Apply(slots, Named({"d"}), 4).slots, ElementsAre(3));
}

TEST(RuleSlots, AnOldRecordFindsTheOwnerOfItsTime) {
  RuleSlots slots(2);
  Apply(slots, Named({"a"}), 5);
  Apply(slots, Named({"b"}), 6);
  Apply(slots, Named({"c"}), 7);  // slot 0 again
  EXPECT_EQ(Name(slots.Find(0, 5)), "a");
  EXPECT_EQ(Name(slots.Find(0, 7)), "c");
  EXPECT_EQ(Name(slots.Find(0, 8)), "c");
  EXPECT_EQ(Name(slots.Find(1, 6)), "b") << "free, not forgotten";
  Apply(slots, Named({"d"}), 8);
  Apply(slots, Named({"e"}), 9);
  EXPECT_EQ(Name(slots.Find(0, 5)), "nobody") << "two owners ago: forgotten, never a wrong name";
}

TEST(RuleSlots, RestoredRulesKeepTheirSlotsAndTheirNeighboursStayFree) {
  RuleSlots slots(8);
  slots.Restore(3, Named({"a"}).egress[0], false);
  slots.Restore(5, Unnamed({"10.0.0.0/8"}).egress[0], true);
  EXPECT_EQ(Name(slots.Find(3, 1)), "a");
  policy::RuleSet rules = Named({"c", "a"});
  rules.ingress = Unnamed({"10.0.0.0/8"}).egress;
  const auto plan = Apply(slots, rules, 9);
  EXPECT_THAT(plan.slots, ElementsAre(6, 3, 5));
  EXPECT_THAT(plan.changed, IsEmpty());
  EXPECT_EQ(slots.Find(6, 8), nullptr) << "a record from before the restart is not of this rule";
}

TEST(RuleSlots, GenerationsMayWrap) {
  RuleSlots slots(4);
  Apply(slots, Named({"a"}), 0xffffffffu);
  Apply(slots, Named({"b"}), 2);
  EXPECT_EQ(Name(slots.Find(0, 0xffffffffu)), "a");
  EXPECT_EQ(Name(slots.Find(1, 2)), "b");
  EXPECT_EQ(slots.Find(1, 0xffffffffu), nullptr);
}

}  // namespace
}  // namespace lattice::datapath
