#include "userspace/socks/accounts.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace lattice::socks {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Accounts, AFileIsReadLineByLine) {
  const auto accounts = ParseAccounts("# who may\n\nagent-1:secret\r\nagent 2: pass:word #1 \nx:y", "f");
  ASSERT_TRUE(accounts.ok()) << accounts.status();
  ASSERT_EQ(accounts->size(), 3u);
  EXPECT_EQ((*accounts)[0].user, "agent-1");
  EXPECT_EQ((*accounts)[0].password, "secret");
  EXPECT_EQ((*accounts)[1].user, "agent 2");
  EXPECT_EQ((*accounts)[1].password, " pass:word #1 ");
  EXPECT_EQ((*accounts)[2].password, "y");
}

TEST(Accounts, TheLongestPairIsAccepted) {
  std::vector<Account> accounts;
  const std::string longest(255, 'x');
  ASSERT_TRUE(AddAccount(absl::StrCat(longest, ":", longest), &accounts).ok());
  EXPECT_TRUE(IsAccount(accounts, longest, longest));
}

struct BadCase {
  const char* name;
  std::string text;
  const char* message;
};

class BadAccounts : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadAccounts, AreRefusedWithTheLineButNotThePassword) {
  const auto accounts = ParseAccounts(GetParam().text, "f");
  ASSERT_FALSE(accounts.ok());
  EXPECT_EQ(accounts.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(std::string(accounts.status().message()), GetParam().message);
  EXPECT_THAT(std::string(accounts.status().message()), Not(HasSubstr("hush")));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, BadAccounts,
    ::testing::Values(
        BadCase{"Nothing", "", "f: no account in it: expected lines USER:PASSWORD"},
        BadCase{"OnlyComments", "# a:b\n\r\n\n", "f: no account in it: expected lines USER:PASSWORD"},
        BadCase{"NoColon", "a:b\nhush", "f:2: no colon: expected USER:PASSWORD"},
        BadCase{"NoUser", ":hush", "f:1: a user name of 0 bytes: expected 1 to 255"},
        BadCase{"NoPassword", "\na:", "f:2: a password of 0 bytes: expected 1 to 255"},
        BadCase{"LongUser", std::string(256, 'x') + ":hush", "f:1: a user name of 256 bytes: expected 1 to 255"},
        BadCase{"LongPassword", "a:hush" + std::string(252, 'x'), "f:1: a password of 256 bytes: expected 1 to 255"},
        BadCase{"ZeroInUser", std::string("a\0b:hush", 8), "f:1: a control character in the user name"},
        BadCase{"TabInPassword", "a:hush\t", "f:1: a control character in the password"},
        BadCase{"CarriageReturnInside", "a:hu\rsh", "f:1: a control character in the password"},
        BadCase{"DeleteInPassword", "a:hush\x7f", "f:1: a control character in the password"},
        BadCase{"SameUser", "a:b\na:hush", "f:2: user \"a\" a second time"}),
    [](const auto& test) { return test.param.name; });

TEST(Accounts, OneThatIsRefusedIsNotAdded) {
  std::vector<Account> accounts;
  ASSERT_TRUE(AddAccount("a:b", &accounts).ok());
  EXPECT_FALSE(AddAccount("a:c", &accounts).ok());
  ASSERT_EQ(accounts.size(), 1u);
  EXPECT_EQ(accounts[0].password, "b");
}

TEST(Accounts, OnlyTheWholePairOfOneAccountIsOne) {
  const auto accounts = ParseAccounts("a:one\nb:two\nab:c\n", "f").value();
  EXPECT_TRUE(IsAccount(accounts, "a", "one"));
  EXPECT_TRUE(IsAccount(accounts, "b", "two"));
  EXPECT_TRUE(IsAccount(accounts, "ab", "c"));
  const std::pair<std::string, std::string> strangers[] = {
      {"a", "two"},  // of another user
      {"b", "one"},
      {"a", "on"},
      {"a", "one "},
      {"a", "onE"},
      {"A", "one"},
      {"", "one"},
      {"a", ""},
      {"", ""},
      {"a", "bc"},
      {"abc", ""},
      {"a:one", ""},
      {"", "a"},
      {"c", "three"},
      {"a", std::string("one\0", 4)},
      {std::string(256, 'a'), "one"},
      {"a", std::string(256 + 3, 'o')},
  };
  for (const auto& [user, password] : strangers)
    EXPECT_FALSE(IsAccount(accounts, user, password)) << user << ":" << password;
  // As long as an account modulo 256, and zero behind it.
  const std::string zeros(256, '\0');
  EXPECT_FALSE(IsAccount(accounts, "a" + zeros, "one"));
  EXPECT_FALSE(IsAccount(accounts, "a", "one" + zeros));
  EXPECT_FALSE(IsAccount({}, "a", "one"));
  EXPECT_FALSE(IsAccount({}, "", ""));
}

}  // namespace
}  // namespace lattice::socks
