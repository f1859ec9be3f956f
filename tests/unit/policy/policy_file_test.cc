#include "userspace/policy/policy_file.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lattice::policy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

TEST(PolicyFile, ReadsDirectionsActionsNamesAndComments) {
  const auto file = ParsePolicyFile(
      "# what the agent may reach\n"
      "\n"
      "10.42.0.10/32\n"
      "  allow 0.0.0.0/0:80,443/tcp   name=web  # and nothing else\r\n"
      "egress deny 192.0.2.0/24\n"
      "ingress 10.0.0.0/8:22/tcp\n"
      "\tingress\tdeny\t::/0\tname=no-v6\n"
      "deny 198.51.100.1",
      "wg0.policy");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->warnings, IsEmpty());
  EXPECT_EQ(Print({.egress = file->egress, .ingress = file->ingress}),
            "# egress default: deny\n"
            "# ingress default: allow\n"
            "egress allow 10.42.0.10/32\n"
            "egress allow 0.0.0.0/0:80,443/tcp name=web\n"
            "egress deny 192.0.2.0/24\n"
            "egress deny 198.51.100.1/32\n"
            "ingress allow 10.0.0.0/8:22/tcp\n"
            "ingress deny ::/0 name=no-v6\n");
}

TEST(PolicyFile, IsGoodWhenEmpty) {
  for (const char* text : {"", "\n", "# nothing\n\n   \n"}) {
    const auto file = ParsePolicyFile(text, "f");
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_THAT(file->egress, IsEmpty());
    EXPECT_THAT(file->ingress, IsEmpty());
  }
}

TEST(PolicyFile, WarnsWithTheLineOfMaskedHostBits) {
  const auto file = ParsePolicyFile("10.0.0.0/8\n10.1.1.1/16\n", "f");
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(file->warnings,
              ElementsAre("f:2: \"10.1.1.1/16\" has bits set behind the prefix length: taken as 10.1.0.0/16"));
}

struct BadCase {
  const char* name;
  const char* text;
  const char* place;
  const char* message;
};

class BadPolicyFile : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadPolicyFile, IsRefusedAsAWholeWithTheLine) {
  const auto file = ParsePolicyFile(GetParam().text, "f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(file.status().message()), StartsWith(GetParam().place));
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(GetParam().message));
}

TEST(PolicyFile, EveryBadLineIsToldUpToABound) {
  const auto some = ParsePolicyFile("10.0.0.0/40\n10.0.0.0/8\ndrop 10.0.0.0/8\n", "f");
  EXPECT_THAT(std::string(some.status().message()), ::testing::MatchesRegex("f:1: .*40.*\nf:3: .*drop[^\n]*"));
  std::string text;
  for (int i = 0; i < 100; ++i) text += "nonsense\n";
  const auto many = ParsePolicyFile(text, "f");
  EXPECT_THAT(std::string(many.status().message()), HasSubstr("f:20: "));
  EXPECT_THAT(std::string(many.status().message()), ::testing::Not(HasSubstr("f:21: ")));
}

INSTANTIATE_TEST_SUITE_P(
    Lines, BadPolicyFile,
    ::testing::Values(
        BadCase{"BadRule", "10.0.0.0/8\n# c\n10.0.0.0/40\n", "f:3: ", "\"10.0.0.0/40\", column 10: prefix length 40"},
        BadCase{"NoRule", "egress allow\n", "f:1: ", "a line without a rule"},
        BadCase{"DirectionTwice", "egress ingress 10.0.0.0/8\n", "f:1: ", "\"ingress\", column 1"},
        BadCase{"ActionBeforeDirection", "deny egress 10.0.0.0/8\n", "f:1: ", "\"egress\", column 1"},
        BadCase{"UnknownAction", "drop 10.0.0.0/8\n", "f:1: ", "\"drop\", column 1"},
        BadCase{"TwoRulesOnALine", "10.0.0.0/8,11.0.0.0/8\n", "f:1: ", "expected the end of the rule"},
        BadCase{"TwoRulesWithABlank", "10.0.0.0/8 11.0.0.0/8\n", "f:1: ", "expected name=NAME"},
        BadCase{"WordAfterName", "10.0.0.0/8 name=a b\n", "f:1: ", "\"b\" after the rule"},
        BadCase{"EmptyName", "10.0.0.0/8 name=\n", "f:1: ", "rule name \"\""},
        BadCase{"BadName", "10.0.0.0/8 name=a\"b\n", "f:1: ", "expected 1 to 47 letters"},
        BadCase{"SameRuleTwice", "10.0.0.0/8\n\n10.0.0.1/8\n", "f:3: ", "\"10.0.0.0/8\" is on line 1 too"},
        BadCase{"SameNameTwice", "10.0.0.0/8 name=a\ningress 11.0.0.0/8 name=a\n", "f:2: ", "\"a\" is on line 1 too"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::policy
