// The command line of a `lattice` command.
#include "tools/lattice/args.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lattice::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

struct Flows {
  Args args{"lattice dp flows", "Shows flows."};
  std::string& iface = args.Text("iface", "wg0", "NAME", "Interface.");
  bool& follow = args.Switch("follow", "Go on.");
  uint64_t& limit = args.Number("limit", 10, "At most.");
};

TEST(Args, TakesFlagsWithEqualsWithBlankAndAfterArguments) {
  Flows flows;
  std::string& file = flows.args.Positional("FILE", "A file.");
  ASSERT_TRUE(flows.args.Parse({"--follow", "--limit", "3", "policy.txt", "--iface=wg1"}).ok());
  EXPECT_EQ(flows.iface, "wg1");
  EXPECT_TRUE(flows.follow);
  EXPECT_EQ(flows.limit, 3u);
  EXPECT_EQ(file, "policy.txt");
}

TEST(Args, KeepsDefaultsAndAllowsAnEmptyValue) {
  Flows flows;
  ASSERT_TRUE(flows.args.Parse({"--iface="}).ok());
  EXPECT_EQ(flows.iface, "");
  EXPECT_FALSE(flows.follow);
  EXPECT_EQ(flows.limit, 10u);
}

struct BadLine {
  const char* name;
  std::vector<std::string> words;
  const char* message;
};
class BadArgs : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadArgs, AreRefusedInWords) {
  Flows flows;
  flows.args.Positional("FILE", "A file.");
  const absl::Status parsed = flows.args.Parse(GetParam().words);
  EXPECT_EQ(parsed.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(parsed.message(), HasSubstr(GetParam().message));
}

const BadLine kBadLines[] = {
    {"UnknownFlag", {"f", "--denyed"}, "`lattice dp flows` has no flag --denyed"},
    {"NoValue", {"f", "--iface"}, "--iface needs a value"},
    {"NoNumber", {"f", "--limit=ten"}, "--limit=ten: expected a number"},
    {"NegativeNumber", {"f", "--limit", "-1"}, "--limit=-1: expected a number"},
    {"ValueForASwitch", {"f", "--follow=maybe"}, "--follow=maybe: expected true or false"},
    {"TooManyArguments", {"f", "g"}, "takes no argument \"g\""},
    {"MissingArgument", {"--follow"}, "needs FILE"},
};
INSTANTIATE_TEST_SUITE_P(Table, BadArgs, ::testing::ValuesIn(kBadLines),
                         [](const ::testing::TestParamInfo<BadLine>& test) { return test.param.name; });

TEST(Args, HelpNeedsNoArgumentsAndTellsEverything) {
  Flows flows;
  flows.args.Positional("FILE", "A file.");
  flows.args.Note("The note.");
  for (const char* word : {"--help", "-h"}) {
    Flows asked;
    asked.args.Positional("FILE", "A file.");
    ASSERT_TRUE(asked.args.Parse({word}).ok());
    EXPECT_TRUE(asked.args.help()) << word;
  }
  EXPECT_THAT(flows.args.HelpText(), AllOf(HasSubstr("usage: lattice dp flows FILE"), HasSubstr("--iface NAME"),
                                           HasSubstr("(default wg0)"), HasSubstr("--follow"), HasSubstr("The note.")));
}

}  // namespace
}  // namespace lattice::cli
