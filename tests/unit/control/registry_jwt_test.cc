#include <gmock/gmock.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/testing/fake_clock.h"
#include "userspace/control/registry/encoding.h"
#include "userspace/control/registry/jwt.h"
#include "userspace/control/registry/login_limiter.h"
#include "userspace/control/registry/token_verifier.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1'770'000'000);
const std::string kSecret(32, 's');

Claims AgentClaims() {
  return {.issuer = kAgentIssuer,
          .subject = "agent-1",
          .issued_at = kNow,
          .expires_at = kNow + absl::Hours(1),
          .agent_id = "agent-1",
          .name_space = "default",
          .allowed_tools = {"search", "mail"},
          .generation = 3};
}

// A token with these parts and a right signature over them.
std::string Signed(const std::string& header, const std::string& payload, const std::string& secret = kSecret) {
  const std::string text = absl::StrCat(Base64Url(header), ".", Base64Url(payload));
  return absl::StrCat(text, ".", Base64Url(HmacSha256(secret, text)));
}

constexpr char kHs256[] = R"({"alg":"HS256","typ":"JWT"})";
const std::string kPayload = R"({"iss":"x","sub":"a","iat":1770000000,"exp":1770003600})";

TEST(Jwt, GivesBackWhatWasSigned) {
  const auto claims = VerifyJwt(kSecret, SignJwt(kSecret, AgentClaims()), kNow);
  ASSERT_TRUE(claims.ok()) << claims.status();
  EXPECT_EQ(*claims, AgentClaims());
}

TEST(Jwt, IsGoodUntilItsExpiryOnly) {
  const std::string token = SignJwt(kSecret, AgentClaims());
  EXPECT_TRUE(VerifyJwt(kSecret, token, kNow + absl::Minutes(60) - absl::Nanoseconds(1)).ok());
  EXPECT_FALSE(VerifyJwt(kSecret, token, kNow + absl::Minutes(60)).ok());
}

TEST(Jwt, ToleratesAClockThatIsALittleAhead) {
  Claims claims = AgentClaims();
  claims.issued_at = kNow + kJwtLeeway;
  EXPECT_TRUE(VerifyJwt(kSecret, SignJwt(kSecret, claims), kNow).ok());
}

TEST(Jwt, RefusesEveryChangeOfOneCharacter) {
  const std::string token = SignJwt(kSecret, AgentClaims());
  for (size_t i = 0; i < token.size(); ++i) {
    for (const char c : {'A', 'B', '.', '=', '\0'}) {
      std::string changed = token;
      if (changed[i] == c) continue;
      changed[i] = c;
      EXPECT_FALSE(VerifyJwt(kSecret, changed, kNow).ok()) << i << c;
    }
  }
}

struct BadCase {
  std::string name;
  std::string token;
  std::string why;
};

class JwtRefusal : public ::testing::TestWithParam<BadCase> {};

TEST_P(JwtRefusal, IsUnauthenticatedAndSaysWhy) {
  const auto claims = VerifyJwt(kSecret, GetParam().token, kNow);
  ASSERT_TRUE(absl::IsUnauthenticated(claims.status())) << claims.status();
  EXPECT_THAT(std::string(claims.status().message()), HasSubstr(GetParam().why));
}

INSTANTIATE_TEST_SUITE_P(
    Cases, JwtRefusal,
    ::testing::Values(
        BadCase{"Empty", "", "three parts"}, BadCase{"OnePart", "abc", "three parts"},
        BadCase{"FourParts", Signed(kHs256, kPayload) + ".x", "three parts"},
        BadCase{"AlgorithmNone", absl::StrCat(Base64Url(R"({"alg":"none"})"), ".", Base64Url(kPayload), "."),
                "algorithm"},
        BadCase{"AlgorithmNoneInCapitals", Signed(R"({"alg":"NONE"})", kPayload), "algorithm"},
        BadCase{"AlgorithmHs512", Signed(R"({"alg":"HS512"})", kPayload), "algorithm"},
        BadCase{"AlgorithmRs256", Signed(R"({"alg":"RS256"})", kPayload), "algorithm"},
        BadCase{"AlgorithmInLowerCase", Signed(R"({"alg":"hs256"})", kPayload), "algorithm"},
        BadCase{"AlgorithmIsAList", Signed(R"({"alg":["HS256"]})", kPayload), "algorithm"},
        BadCase{"NoAlgorithm", Signed("{}", kPayload), "algorithm"},
        BadCase{"CriticalExtension", Signed(R"({"alg":"HS256","crit":["b64"]})", kPayload), "critical"},
        BadCase{"OtherKey", Signed(kHs256, kPayload, std::string(32, 'o')), "signature"},
        BadCase{"EmptySignature", absl::StrCat(Base64Url(kHs256), ".", Base64Url(kPayload), "."), "signature"},
        BadCase{"ShortSignature", Signed(kHs256, kPayload).substr(0, 150), "signature"},
        BadCase{"PaddedSignature", Signed(kHs256, kPayload) + "=", "signature"},
        BadCase{"Expired", Signed(kHs256, R"({"iat":1,"exp":1769999999})"), "expired"},
        BadCase{"NoExpiry", Signed(kHs256, R"({"iat":1})"), "expiry"},
        BadCase{"ExpiryIsAText", Signed(kHs256, R"({"exp":"1770003600"})"), "exp"},
        BadCase{"ExpiryIsAFraction", Signed(kHs256, R"({"exp":1770003600.5})"), "exp"},
        BadCase{"ExpiryIsHuge", Signed(kHs256, R"({"exp":18446744073709551615})"), "exp"},
        BadCase{"ExpiryIsNegative", Signed(kHs256, R"({"exp":-1})"), "exp"},
        BadCase{"IssuedInTheFuture", Signed(kHs256, R"({"iat":1770000061,"exp":1770003600})"), "future"},
        BadCase{"NotValidYet", Signed(kHs256, R"({"nbf":1770000061,"exp":1770003600})"), "not valid yet"},
        BadCase{"NotBeforeIsAText", Signed(kHs256, R"({"nbf":"x","exp":1770003600})"), "nbf"},
        BadCase{"PayloadIsNoJson", Signed(kHs256, "exp=1770003600"), "payload"},
        BadCase{"PayloadIsAList", Signed(kHs256, "[1]"), "payload"},
        BadCase{"PayloadIsDeep", Signed(kHs256, std::string(5000, '[')), "payload"},
        BadCase{"ToolsAreNoList", Signed(kHs256, R"({"exp":1770003600,"allowed_tools":"all"})"), "allowed_tools"},
        BadCase{"SubjectIsANumber", Signed(kHs256, R"({"exp":1770003600,"sub":7})"), "sub"},
        BadCase{"HeaderIsNoBase64", absl::StrCat("{}.", Base64Url(kPayload), ".x"), "header"},
        BadCase{"HeaderWithABlank", absl::StrCat(" ", Signed(kHs256, kPayload)), "header"},
        BadCase{"Oversized", std::string(kMaxJwtBytes + 1, 'a'), "large"}),
    [](const auto& test) { return test.param.name; });

class TokenVerifierTest : public ::testing::Test {
 protected:
  TokenVerifierTest() : verifier_(kSecret, clock_, {.max_remembered = 8}) {}
  std::string TokenOf(const std::string& agent, int64_t generation = 1) {
    Claims claims = AgentClaims();
    claims.subject = agent;
    claims.generation = generation;
    return SignJwt(kSecret, claims);
  }
  testing::FakeClock clock_{kNow};
  TokenVerifier verifier_;
};

TEST_F(TokenVerifierTest, RemembersATokenAndStillSeesItExpire) {
  const std::string token = TokenOf("a");
  const auto first = verifier_.VerifyAgent(token);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(verifier_.VerifyAgent(token)->get(), first->get());
  clock_.Advance(absl::Hours(1));
  EXPECT_FALSE(verifier_.VerifyAgent(token).ok());
}

TEST_F(TokenVerifierTest, RefusesARememberedTokenOfARevokedAgent) {
  const std::string token = TokenOf("a");
  ASSERT_TRUE(verifier_.VerifyAgent(token).ok());
  verifier_.SetRevocations({{"a", {.least_generation = kNoGeneration}}});
  EXPECT_THAT(std::string(verifier_.VerifyAgent(token).status().message()), HasSubstr("revoked"));
  EXPECT_TRUE(verifier_.VerifyAgent(TokenOf("b")).ok());
}

TEST_F(TokenVerifierTest, RefusesTokensOfAnEarlierEnrollment) {
  verifier_.SetRevocations({{"a", {.least_generation = 2}}});
  EXPECT_FALSE(verifier_.VerifyAgent(TokenOf("a", 1)).ok());
  EXPECT_TRUE(verifier_.VerifyAgent(TokenOf("a", 2)).ok());
}

TEST_F(TokenVerifierTest, IsBounded) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(verifier_.VerifyAgent(TokenOf(absl::StrCat("a", i))).ok());
  EXPECT_LE(verifier_.remembered(), 8u);
}

TEST_F(TokenVerifierTest, DoesNotRememberABadToken) {
  EXPECT_FALSE(verifier_.VerifyAgent("x.y.z").ok());
  EXPECT_EQ(verifier_.remembered(), 0u);
}

TEST_F(TokenVerifierTest, KeepsAgentsAndUsersApart) {
  Claims user{.issuer = kUserIssuer, .subject = "me", .issued_at = kNow, .expires_at = kNow + absl::Hours(1)};
  user.role = "admin";
  const std::string user_token = SignJwt(kSecret, user);
  EXPECT_TRUE(verifier_.VerifyUser(user_token).ok());
  EXPECT_FALSE(verifier_.VerifyAgent(user_token).ok());
  EXPECT_FALSE(verifier_.VerifyUser(TokenOf("a")).ok());
  user.role = "root";
  EXPECT_FALSE(verifier_.VerifyUser(SignJwt(kSecret, user)).ok());
}

TEST(LoginLimiter, LetsABurstInAndThenOneAnInterval) {
  LoginLimiter limiter({.burst = 3, .interval = absl::Seconds(6)});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.Admit("192.0.2.1:1000", kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.Admit("192.0.2.1:2000", kNow), absl::Seconds(6));
  EXPECT_EQ(limiter.Admit("192.0.2.2:1000", kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.Admit("192.0.2.1:1000", kNow + absl::Seconds(6)), absl::ZeroDuration());
  EXPECT_GT(limiter.Admit("192.0.2.1:1000", kNow + absl::Seconds(6)), absl::ZeroDuration());
}

TEST(LoginLimiter, CountsASixtyFourOfIpv6AsOneClient) {
  LoginLimiter limiter({.burst = 1});
  EXPECT_EQ(limiter.Admit("[2001:db8::1]:1", kNow), absl::ZeroDuration());
  EXPECT_GT(limiter.Admit("[2001:db8::2]:1", kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.Admit("[2001:db8:0:1::1]:1", kNow), absl::ZeroDuration());
}

TEST(LoginLimiter, SharesABucketWhenThereAreTooManyClients) {
  LoginLimiter limiter({.burst = 1, .interval = absl::Hours(1), .max_addresses = 4});
  for (int i = 0; i < 4; ++i) EXPECT_EQ(limiter.Admit(absl::StrCat("192.0.2.", i, ":1"), kNow), absl::ZeroDuration());
  EXPECT_EQ(limiter.Admit("192.0.2.50:1", kNow), absl::ZeroDuration());
  EXPECT_GT(limiter.Admit("192.0.2.51:1", kNow), absl::ZeroDuration());
}

}  // namespace
}  // namespace lattice::control
