#include "userspace/nats/agent_login.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace lattice::nats {
namespace {

std::string TokenWith(const std::string& claims) {
  return absl::StrCat("e30.", absl::WebSafeBase64Escape(claims), ".x");
}

TEST(AgentLogin, IsInTheToken) {
  const auto login = LoginOfToken(TokenWith(R"({"sub":"a","nats":"secret"})"));
  ASSERT_TRUE(login.has_value());
  EXPECT_EQ(login->user, "a");
  EXPECT_EQ(login->password, "secret");
}

TEST(AgentLogin, IsInNoOtherText) {
  for (const std::string& token :
       {std::string(), std::string("x"), std::string("a.%.c"), std::string("a.b.c.d"), TokenWith("{"), TokenWith("[]"),
        TokenWith(R"({"sub":"a"})"), TokenWith(R"({"nats":"secret"})"), TokenWith(R"({"sub":1,"nats":"secret"})"),
        TokenWith(R"({"sub":"a","nats":["secret"]})")}) {
    EXPECT_FALSE(LoginOfToken(token).has_value()) << token;
  }
}

TEST(AgentInbox, IsOneTokenOfASubjectAndNoOthersBeginning) {
  EXPECT_EQ(AgentInbox("a"), "_INBOX_a");
  EXPECT_EQ(AgentInbox("a.b-c_d"), "_INBOX_a=b-c_d");
}

}  // namespace
}  // namespace lattice::nats
