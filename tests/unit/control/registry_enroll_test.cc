#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/control/registry_fixture.h"
#include "userspace/nats/agent_login.h"

namespace lattice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class Enrolling : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (!IsSkipped()) Open();
  }
  std::string Refusal(const Enrollment& enrollment) {
    return std::string(registry_->Enroll(enrollment).status().message());
  }
};

TEST_F(Enrolling, GivesAnAddressAndATokenOfTheAgent) {
  TokenRequest request{.name_space = "team", .allowed_tools = {"search"}};
  const Enrolled enrolled = Add("a", 1, request);
  EXPECT_EQ(enrolled.agent.address, "10.42.0.2");
  EXPECT_EQ(enrolled.agent.status, AgentStatus::kActive);
  const auto claims = registry_->verifier().VerifyAgent(enrolled.jwt);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ((*claims)->subject, "a");
  EXPECT_EQ((*claims)->agent_id, "a");
  EXPECT_EQ((*claims)->name_space, "team");
  EXPECT_THAT((*claims)->allowed_tools, ElementsAre("search"));
  EXPECT_EQ((*claims)->expires_at - (*claims)->issued_at, absl::Hours(24 * 365));
  EXPECT_EQ(Add("b", 2).agent.address, "10.42.0.3");
}

TEST_F(Enrolling, TokensHaveUpstreamsFormAndAreStoredAsAHashOnly) {
  const std::string token = Token();
  EXPECT_THAT(token, MatchesRegex("lt-[0-9a-f]{32}"));
  auto connection = database_->Connect();
  ASSERT_TRUE(connection.ok());
  const auto rows = (*connection)->Query("SELECT * FROM la_enrollment_tokens");
  ASSERT_TRUE(rows.ok()) << rows.status();
  for (const sql::Value& value : rows->at(0)) EXPECT_THAT(value.text(), ::testing::Not(HasSubstr(token.substr(3))));
}

TEST_F(Enrolling, ATokenHasThePasswordOfItsNatsUserWhereThereAreSuch) {
  const auto without = nats::LoginOfToken(Add("a", 1).jwt);
  EXPECT_FALSE(without.has_value());
  Open({.nats_users = true});
  const std::string first = Add("b", 2).jwt;
  const auto login = nats::LoginOfToken(first);
  ASSERT_TRUE(login.has_value());
  EXPECT_EQ(login->user, "b");
  const auto password = [this](const std::string& name) -> std::string {
    const auto users = registry_->NatsUsers();
    for (const NatsUser& user : *users) {
      if (user.name == name) return user.password;
    }
    return "";
  };
  EXPECT_EQ(password("b"), login->password);
  EXPECT_NE(password("a"), "") << "it may enrol anew, for a token that has it";
  EXPECT_NE(password("a"), password("b"));
  ASSERT_TRUE(registry_->RevokeAgent("b").ok());
  EXPECT_EQ(password("b"), "");
  // Enrolled anew: what the first token has is of no use.
  const auto second = nats::LoginOfToken(Add("b", 3, {.name = "b"}).jwt);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(password("b"), second->password);
  EXPECT_NE(second->password, login->password);
}

TEST_F(Enrolling, RefusesWithUpstreamsTexts) {
  const std::string token = Token();
  EXPECT_EQ(Refusal({.token = "nonsense", .name = "a"}), "invalid enrollment token");
  EXPECT_EQ(Refusal({.token = "lt-00000000000000000000000000000000", .name = "a"}), "invalid enrollment token");
  ASSERT_TRUE(registry_->Enroll({.token = token, .name = "a", .public_key = Key(1)}).ok());
  EXPECT_EQ(Refusal({.token = token, .name = "b", .public_key = Key(2)}), "enrollment token already used");
  const std::string late = Token();
  clock_.Advance(absl::Hours(24));
  EXPECT_EQ(Refusal({.token = late, .name = "c"}), "enrollment token expired");
}

TEST_F(Enrolling, AnswersARepeatedRequestOfTheSameAgentForAWhile) {
  const Enrollment enrollment{.token = Token(), .name = "a", .public_key = Key(1)};
  const auto first = registry_->Enroll(enrollment);
  ASSERT_TRUE(first.ok()) << first.status();
  clock_.Advance(absl::Minutes(1));
  const auto second = registry_->Enroll(enrollment);
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(second->agent, first->agent);
  clock_.Advance(absl::Minutes(2));
  EXPECT_EQ(Refusal(enrollment), "enrollment token already used");
}

TEST_F(Enrolling, DoesNotRepeatWithoutAKeyOrForARevokedAgent) {
  const Enrollment keyless{.token = Token(), .name = "k"};
  ASSERT_TRUE(registry_->Enroll(keyless).ok());
  EXPECT_EQ(Refusal(keyless), "enrollment token already used");
  const Enrollment enrollment{.token = Token({.name = "a"}), .name = "a", .public_key = Key(1)};
  ASSERT_TRUE(registry_->Enroll(enrollment).ok());
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  EXPECT_EQ(Refusal(enrollment), "enrollment token already used");
}

TEST_F(Enrolling, ARefusalDoesNotUseTheTokenUp) {
  Add("a", 1);
  const std::string token = Token();
  EXPECT_THAT(Refusal({.token = token, .name = "a", .public_key = Key(2)}), HasSubstr("taken"));
  EXPECT_THAT(Refusal({.token = token, .name = "b", .public_key = Key(1)}), HasSubstr("another agent has this key"));
  EXPECT_TRUE(registry_->Enroll({.token = token, .name = "b", .public_key = Key(2)}).ok());
}

TEST_F(Enrolling, GivesATakenNameOverToATokenMadeForItAndEndsTheOldTokens) {
  const Enrolled before = Add("a", 1);
  const auto after = registry_->Enroll({.token = Token({.name = "a"}), .name = "a", .public_key = Key(2)});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->agent.address, before.agent.address);
  EXPECT_FALSE(registry_->verifier().VerifyAgent(before.jwt).ok());
  EXPECT_TRUE(registry_->verifier().VerifyAgent(after->jwt).ok());
}

// A public key is in every peer's map.
TEST_F(Enrolling, AKnownPublicKeyIsNoProofThatItIsTheAgent) {
  Add("a", 1);
  EXPECT_THAT(Refusal({.token = Token(), .name = "a", .public_key = Key(1)}), HasSubstr("is taken"));
}

TEST_F(Enrolling, TheSameKeyMayEnrollAgainWithATokenMadeForIt) {
  const Enrolled before = Add("a", 1);
  const Enrolled after = Add("a", 1, {.name = "a"});
  EXPECT_EQ(after.agent.address, before.agent.address);
  EXPECT_TRUE(registry_->verifier().VerifyAgent(before.jwt).ok());
}

TEST_F(Enrolling, ABoundTokenIsForItsAgentOnlyAndGivesTheName) {
  EXPECT_THAT(Refusal({.token = Token({.name = "a"}), .name = "b"}), HasSubstr("for another agent"));
  const auto enrolled = registry_->Enroll({.token = Token({.name = "a"}), .public_key = Key(1)});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(enrolled->agent.name, "a");
  EXPECT_THAT(Refusal({.token = Token()}), HasSubstr("agent name: missing"));
}

TEST_F(Enrolling, ARevokedAgentComesBackWithItsAddressByATokenMadeForIt) {
  const Enrolled before = Add("a", 1);
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  EXPECT_FALSE(registry_->verifier().VerifyAgent(before.jwt).ok());
  EXPECT_THAT(Refusal({.token = Token(), .name = "a", .public_key = Key(1)}), HasSubstr("revoked"));
  const auto after = registry_->Enroll({.token = Token({.name = "a"}), .name = "a", .public_key = Key(1)});
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->agent.address, before.agent.address);
  EXPECT_FALSE(registry_->verifier().VerifyAgent(before.jwt).ok()) << "revoked stays revoked";
  EXPECT_TRUE(registry_->verifier().VerifyAgent(after->jwt).ok());
}

TEST_F(Enrolling, ARevokedTokenIsInvalid) {
  const auto issued = registry_->CreateEnrollmentToken({});
  ASSERT_TRUE(issued.ok());
  ASSERT_TRUE(registry_->RevokeEnrollmentToken(issued->id).ok());
  EXPECT_EQ(Refusal({.token = issued->token, .name = "a"}), "invalid enrollment token");
  EXPECT_TRUE(absl::IsNotFound(registry_->RevokeEnrollmentToken("none")));
}

TEST_F(Enrolling, ListsTokensWithoutTheirSecret) {
  TokenRequest request{.name = "a", .by = "me"};
  Add("a", 1, request);
  const auto tokens = registry_->ListEnrollmentTokens();
  ASSERT_TRUE(tokens.ok());
  ASSERT_EQ(tokens->size(), 1u);
  EXPECT_EQ(tokens->at(0).used_by, "a");
  EXPECT_EQ(tokens->at(0).created_by, "me");
}

TEST_F(Enrolling, WithoutAKeyThereIsATokenButNoPlaceOnTheOverlay) {
  const auto enrolled = registry_->Enroll({.token = Token(), .name = "recorder"});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(enrolled->agent.address, "");
  EXPECT_TRUE(registry_->verifier().VerifyAgent(enrolled->jwt).ok());
}

class Overlay : public RegistryTest {};

TEST_F(Overlay, GivesEveryAddressButTheNetworksTheControlPlanesAndTheLast) {
  Open({.overlay = "192.0.2.0/29"});
  std::vector<std::string> addresses;
  for (int i = 0; i < 5; ++i) addresses.push_back(Add(absl::StrCat("a", i), i).agent.address);
  EXPECT_THAT(addresses, ElementsAre("192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"));
  const std::string token = Token();
  const absl::Status full = registry_->Enroll({.token = token, .name = "b", .public_key = Key(9)}).status();
  EXPECT_TRUE(absl::IsResourceExhausted(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr("192.0.2.0/29 has no free address"));
  // Of two that are revoked the one that is so longer gives its address.
  ASSERT_TRUE(registry_->RevokeAgent("a3").ok());
  clock_.Advance(absl::Seconds(1));
  ASSERT_TRUE(registry_->RevokeAgent("a1").ok());
  const auto enrolled = registry_->Enroll({.token = token, .name = "b", .public_key = Key(9)});
  ASSERT_TRUE(enrolled.ok()) << enrolled.status();
  EXPECT_EQ(enrolled->agent.address, "192.0.2.5");
  EXPECT_EQ(registry_->FindAgent("a3")->address, "");
}

TEST_F(Overlay, AnAgentOutsideOfAChangedOverlayGetsANewAddress) {
  Open({.overlay = "10.42.0.0/16"});
  Add("a", 1);
  Open({.overlay = "10.99.0.0/16"});
  EXPECT_EQ(Add("a", 1, {.name = "a"}).agent.address, "10.99.0.2");
}

TEST_F(Overlay, RefusesWhatIsNoOverlay) {
  Open();
  for (const char* overlay : {"", "10.42.0.0", "10.0.0.0/7", "10.0.0.0/31", "fd42::/64", "x/16"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(Registry::Open(*database_, clock_, {.overlay = overlay}).status())) << overlay;
  }
}

TEST_F(Overlay, WaitsForApprovalWhereThatIsAsked) {
  Open({.approve_by_hand = true});
  const Enrolled enrolled = Add("a", 1);
  EXPECT_EQ(enrolled.agent.status, AgentStatus::kPending);
  EXPECT_EQ(enrolled.agent.address, "");
  EXPECT_EQ(registry_->GetNetMap("a")->self.address, "");
  ASSERT_TRUE(registry_->ApproveAgent("a").ok());
  EXPECT_EQ(registry_->GetNetMap("a")->self.address, "10.42.0.2");
}

struct BadEnrollment {
  std::string name;
  Enrollment enrollment;
  std::string why;
};
class EnrollmentRefusal : public RegistryTest, public ::testing::WithParamInterface<BadEnrollment> {};

TEST_P(EnrollmentRefusal, NamesTheField) {
  Open();
  Enrollment enrollment = GetParam().enrollment;
  enrollment.token = Token();
  const absl::Status status = registry_->Enroll(enrollment).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, EnrollmentRefusal,
    ::testing::Values(BadEnrollment{"NameWithAStar", {.name = "a.*"}, "agent name"},
                      BadEnrollment{"NameWithASlash", {.name = "../a"}, "agent name"},
                      BadEnrollment{"NameWithTwoDots", {.name = "a..b"}, "agent name"},
                      BadEnrollment{"NameWithABlank", {.name = "a b"}, "agent name"},
                      BadEnrollment{"LongName", {.name = std::string(64, 'a')}, "agent name"},
                      BadEnrollment{"ShortKey", {.name = "a", .public_key = "AAAA"}, "publicKey"},
                      BadEnrollment{"ZeroKey", {.name = "a", .public_key = Base64(std::string(32, '\0'))}, "publicKey"},
                      BadEnrollment{
                          "KeyWithoutPadding", {.name = "a", .public_key = Key(1).substr(0, 43)}, "publicKey"},
                      BadEnrollment{"EndpointWithoutPort", {.name = "a", .endpoint = "192.0.2.1"}, "endpoint"},
                      BadEnrollment{"EndpointWithALineEnd", {.name = "a", .endpoint = "a.example:1\n"}, "endpoint"},
                      BadEnrollment{"EndpointOfAShell", {.name = "a", .endpoint = "$(id):1"}, "endpoint"},
                      BadEnrollment{"PortZero", {.name = "a", .port = 0}, "port"},
                      BadEnrollment{"LongHostName", {.name = "a", .hostname = std::string(129, 'h')}, "hostname"}),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace lattice::control
