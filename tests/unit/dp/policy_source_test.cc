// Flags and file become one rule set: order, defaults, errors.
#include "userspace/dp/policy_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/temp_dir.h"
#include "userspace/base/file.h"
#include "userspace/dp/policy_control.h"
#include "userspace/policy/judge.h"

namespace lattice::dp {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

RuleFlag EgressAllow(std::string text) {
  return {"--egress-allow", LAT_EGRESS, true, std::move(text)};
}
RuleFlag EgressDeny(std::string text) {
  return {"--egress-deny", LAT_EGRESS, false, std::move(text)};
}
RuleFlag IngressAllow(std::string text) {
  return {"--ingress-allow", LAT_INGRESS, true, std::move(text)};
}

std::vector<std::string> Names(const std::vector<policy::Rule>& rules, bool ingress = false) {
  std::vector<std::string> names;
  for (const policy::Rule& rule : rules) names.push_back(policy::RuleName(rule, ingress));
  return names;
}

class PolicySourceTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text) {
    const std::string path = dir_.File("policy");
    EXPECT_TRUE(WriteFileAtomically(path, text, 0600).ok());
    return path;
  }
  testing::TempDir dir_;
};

TEST_F(PolicySourceTest, NoRuleAtAllDeniesEverythingThatLeaves) {
  const auto policy = PolicySource({}).Load();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_FALSE(policy::Judge(policy->rules, LAT_EGRESS, *IpAddress::Parse("192.0.2.1"), 6, 443).allow);
  EXPECT_TRUE(policy::Judge(policy->rules, LAT_INGRESS, *IpAddress::Parse("192.0.2.1"), 6, 443).allow);
}

TEST_F(PolicySourceTest, FlagsComeFirstInTheirCommonOrderThenTheFile) {
  const std::string path = Write("# file\n198.51.100.0/24 name=from-file\ningress deny 203.0.113.7 name=bad-guest\n");
  const PolicySource source({.rules = {EgressDeny("192.0.2.9"), EgressAllow("192.0.2.0/24:80,443, 10.0.0.1"),
                                       IngressAllow("10.42.0.0/24:22")},
                             .file = path});
  const auto policy = source.Load();
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_THAT(Names(policy->rules.egress),
              ElementsAre("deny 192.0.2.9/32", "192.0.2.0/24:80,443", "10.0.0.1/32", "from-file"));
  EXPECT_THAT(Names(policy->rules.ingress, true), ElementsAre("ingress 10.42.0.0/24:22", "bad-guest"));
  EXPECT_THAT(policy->source, AllOf(HasSubstr("flags"), HasSubstr(path)));
}

TEST_F(PolicySourceTest, AnIngressAllowRuleClosesIngressUnlessTheFlagSaysOtherwise) {
  EXPECT_TRUE(PolicySource({.rules = {IngressAllow("10.42.0.0/24:22")}}).Load()->rules.ingress_default_deny);
  EXPECT_TRUE(PolicySource({}).FromText("ingress allow 10.42.0.0/24", "x")->rules.ingress_default_deny);
  EXPECT_FALSE(PolicySource({}).FromText("ingress deny 10.42.0.0/24", "x")->rules.ingress_default_deny);
  EXPECT_FALSE(PolicySource({.rules = {IngressAllow("10.42.0.0/24:22")}, .ingress_default_deny = false})
                   .Load()
                   ->rules.ingress_default_deny);
  EXPECT_TRUE(PolicySource({.ingress_default_deny = true}).Load()->rules.ingress_default_deny);
}

TEST_F(PolicySourceTest, AnAppliedTextIsTheWholePolicyWithTheDefaultsOfTheFlags) {
  const PolicySource source({.rules = {EgressAllow("192.0.2.0/24")}, .egress_default_deny = false});
  const auto policy = source.FromText("deny 198.51.100.0/24\n", "new.policy");
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_THAT(Names(policy->rules.egress), ElementsAre("deny 198.51.100.0/24"));
  EXPECT_FALSE(policy->rules.egress_default_deny);
  EXPECT_EQ(policy->source, "new.policy");
}

TEST_F(PolicySourceTest, EveryBadFlagAndTheFirstBadLineAreNamed) {
  const std::string path = Write("10.0.0.1\nallow nonsense\n");
  const PolicySource source(
      {.rules = {EgressAllow("10.0.0.0/33"), EgressAllow("10.0.0.1"), EgressDeny("x")}, .file = path});
  const auto policy = source.Load();
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(),
              AllOf(HasSubstr("--egress-allow=10.0.0.0/33"), HasSubstr("--egress-deny=x"), HasSubstr(path + ":2")));
}

TEST_F(PolicySourceTest, AMissingFileIsAnErrorOfTheHostNotOfTheText) {
  const auto policy = PolicySource({.file = dir_.File("missing")}).Load();
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(policy.status().message(), AllOf(HasSubstr("--policy-file"), HasSubstr(dir_.File("missing"))));
}

TEST_F(PolicySourceTest, TwoRulesOfOneNameAreRefused) {
  const auto policy = PolicySource({.rules = {EgressAllow("10.0.0.1"), EgressAllow("10.0.0.1/32")}}).Load();
  EXPECT_EQ(policy.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(policy.status().message(), HasSubstr("10.0.0.1/32"));
}

TEST_F(PolicySourceTest, HostBitsAreAWarningThatNamesTheFlag) {
  const auto policy = PolicySource({.rules = {EgressAllow("10.1.2.3/8")}}).Load();
  ASSERT_TRUE(policy.ok());
  EXPECT_THAT(policy->warnings, ElementsAre(AllOf(HasSubstr("--egress-allow"), HasSubstr("10.0.0.0/8"))));
}

TEST_F(PolicySourceTest, ACheckTellsSizesWithoutAnyKernel) {
  const auto policy = PolicySource({}).FromText("10.0.0.0/8:443\ningress 192.0.2.0/24\n", "p");
  const auto report = CheckPolicy(*policy, 64 << 20);
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->egress_rules, 1u);
  EXPECT_EQ(report->ingress_rules, 1u);
  EXPECT_EQ(report->hash, policy::Hash(policy->rules));
  EXPECT_GT(report->bytes, 0u);
  EXPECT_EQ(report->lookup, "flat");
}

TEST_F(PolicySourceTest, DenyEverythingDeniesBothDirections) {
  const policy::RuleSet closed = DenyEverything();
  for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
    EXPECT_FALSE(policy::Judge(closed, direction, *IpAddress::Parse("2001:db8::1"), 17, 53).allow);
  }
}

}  // namespace
}  // namespace lattice::dp
