// The commands' parts that need no control plane: arguments, tables, credentials.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "tests/testing/temp_dir.h"
#include "tools/lattice/args.h"
#include "tools/lattice/server_views.h"
#include "tools/lattice/up_control.h"
#include "tools/lattice/up_credentials.h"
#include "userspace/base/file.h"

namespace lattice::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RestOfArguments, TakesAnyNumberAfterTheNamedOnes) {
  Args args("x", "");
  const std::string& agent = args.Positional("AGENT", "");
  const std::vector<std::string>& rules = args.Rest("RULE…", "");
  bool& json = args.Switch("json", "");
  ASSERT_TRUE(args.Parse({"a", "10.0.0.1", "--json", "deny 0.0.0.0/0:22"}).ok());
  EXPECT_EQ(agent, "a");
  EXPECT_THAT(rules, ElementsAre("10.0.0.1", "deny 0.0.0.0/0:22"));
  EXPECT_TRUE(json);
  EXPECT_THAT(args.HelpText(), HasSubstr("x AGENT [RULE…] [flags]"));
}

TEST(ServerViews, ShowWhatIsThereAndADashForWhatIsNot) {
  const auto agents = AgentsTable(R"({"list":[{"name":"a","status":"active","address":"","flows":7,"bytes":2048}]})");
  ASSERT_TRUE(agents.ok());
  EXPECT_THAT(*agents, HasSubstr("2.0 KiB"));
  EXPECT_THAT(*PolicyRules(R"({"rules":[],"version":0})"), HasSubstr("everything is denied"));
  EXPECT_THAT(*PolicyRules(R"({"rules":["10.0.0.1"],"version":2,"updatedBy":"me"})"), HasSubstr("by me\n10.0.0.1\n"));
  for (const char* text : {"", "[]", "{}", R"({"list":7})", R"({"list":[1]})"}) {
    EXPECT_FALSE(AgentsTable(text).ok()) << text;
    EXPECT_FALSE(TokensTable(text).ok()) << text;
    EXPECT_FALSE(PolicyRules(text).ok()) << text;
    EXPECT_FALSE(TokenText(text).ok()) << text;
  }
}

TEST(ServerViews, WhatAnAgentSaysOfItselfDoesNotSteerTheTerminal) {
  const auto agents = AgentsTable(R"({"list":[{"name":"a","hostname":"\u001b[2Jx","endpoint":"y\n\u009bz"}]})");
  ASSERT_TRUE(agents.ok());
  EXPECT_THAT(*agents, HasSubstr("?[2Jx"));
  EXPECT_THAT(*agents, HasSubstr("y??z"));
}

TEST(AgentCredentials, AreOneAgentsAloneAndOfModeSixHundred) {
  testing::TempDir dir;
  EXPECT_EQ(*CredentialsPath(dir.path(), "a"), dir.File("sandbox-credentials.json"));
  const Credentials a{.name = "a", .private_key = *NewPrivateKey(), .jwt = "x.y.z"};
  ASSERT_TRUE(WriteCredentials(dir.File("sandbox-credentials.json"), a).ok());
  EXPECT_EQ(*CredentialsPath(dir.path(), "a"), dir.File("sandbox-credentials.json"));
  EXPECT_EQ(*CredentialsPath(dir.path(), "b"), dir.File("sandbox-credentials-b.json"));
  const auto read = ReadCredentials(dir.File("sandbox-credentials.json"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->private_key, a.private_key);
  EXPECT_EQ(read->jwt, "x.y.z");
  struct stat file;
  ASSERT_EQ(stat(dir.File("sandbox-credentials.json").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
}

TEST(AgentCredentials, DamagedOnesAreRefused) {
  testing::TempDir dir;
  EXPECT_TRUE(absl::IsNotFound(ReadCredentials(dir.File("none")).status()));
  for (const char* text : {"", "{", "[]", "{}", R"({"privateKey":"AAAA"})", R"({"privateKey":7})"}) {
    ASSERT_TRUE(WriteFileAtomically(dir.File("x"), text, 0600).ok());
    EXPECT_TRUE(absl::IsFailedPrecondition(ReadCredentials(dir.File("x")).status())) << text;
  }
}

TEST(AgentCredentials, TheKeyIsX25519) {
  // RFC 7748 6.1, Alice.
  const std::string key =
      "\x77\x07\x6d\x0a\x73\x18\xa5\x7d\x3c\x16\xc1\x72\x51\xb2\x66\x45\xdf\x4c\x2f\x87\xeb\xc0\x99\x2a\xb1\x77\xfb\xa5"
      "\x1d\xb9\x2c\x2a";
  EXPECT_EQ(*PublicKeyOf(key), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
}

TEST(AgentControlAnswers, OnlyTheEndOfAnEnrolmentIsFinal) {
  EXPECT_TRUE(IsFinal(absl::FailedPreconditionError("token is of a revoked agent")));
  EXPECT_TRUE(IsFinal(absl::PermissionDeniedError("agent is revoked")));
  EXPECT_TRUE(IsFinal(absl::FailedPreconditionError("token is of an earlier enrollment of its agent")));
  EXPECT_FALSE(IsFinal(absl::OkStatus()));
  EXPECT_FALSE(IsFinal(absl::UnavailableError("database is locked")));
}

TEST(LocalEndpoint, OfLoopbackIsNone) {
  EXPECT_EQ(LocalEndpoint("nats://127.0.0.1:4222", 51820), "");
  EXPECT_EQ(LocalEndpoint("http://[::1]:8080", 51820), "");
}

}  // namespace
}  // namespace lattice::cli
