// Agents after their enrolment, policies, users.
#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "tests/unit/control/registry_fixture.h"

namespace lattice::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Agents : public RegistryTest {
 protected:
  void SetUp() override {
    RegistryTest::SetUp();
    if (IsSkipped()) return;
    Open();
    registry_->SetOnChange([this](const Change& change) { changes_.push_back(change); });
  }
  std::vector<std::string> PeersOf(const std::string& name) {
    const auto map = registry_->GetNetMap(name);
    EXPECT_TRUE(map.ok()) << map.status();
    std::vector<std::string> names;
    for (const Agent& peer : map->peers) names.push_back(peer.name);
    return names;
  }
  std::vector<Change> changes_;
};

TEST_F(Agents, SeeTheActiveAgentsOfTheirNamespaceWithAKey) {
  Add("a", 1);
  Add("b", 2);
  Add("other", 3, {.name_space = "other"});
  ASSERT_TRUE(registry_->Enroll({.token = Token(), .name = "recorder"}).ok());
  EXPECT_THAT(PeersOf("a"), ElementsAre("b"));
  EXPECT_THAT(PeersOf("other"), IsEmpty());
  EXPECT_THAT(PeersOf("recorder"), IsEmpty());
  ASSERT_TRUE(registry_->RevokeAgent("b").ok());
  EXPECT_THAT(PeersOf("a"), IsEmpty());
}

TEST_F(Agents, ARevokedAgentGetsNoMap) {
  Add("a", 1);
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  const absl::Status status = registry_->GetNetMap("a").status();
  EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("revoked"));
}

TEST_F(Agents, WhatARevokedAgentWroteBeforeMayComeForADay) {
  const Enrolled first = Add("a", 1);
  clock_.Advance(absl::Minutes(1));
  const absl::Time revoked = clock_.Now();
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());  // again: the first counts
  const auto code = [&](absl::Time written, absl::Time received) {
    return registry_->verifier().VerifyWriter(first.jwt, written, received).status().code();
  };
  const absl::Duration tick = absl::Nanoseconds(1);
  EXPECT_EQ(code(revoked, revoked + kRevokedGrace), absl::StatusCode::kOk);
  EXPECT_EQ(code(revoked + tick, revoked + tick), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(code(revoked, revoked + kRevokedGrace + tick), absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(registry_->verifier().VerifyAgent(first.jwt).ok());
}

TEST_F(Agents, ARevocationReachesOtherReplicasWithTheirRefresh) {
  auto other = OpenAnother();
  const Enrolled enrolled = Add("a", 1);
  ASSERT_TRUE(registry_->RevokeAgent("a").ok());
  EXPECT_TRUE(other->verifier().VerifyAgent(enrolled.jwt).ok());
  ASSERT_TRUE(other->RefreshRevocations().ok());
  EXPECT_FALSE(other->verifier().VerifyAgent(enrolled.jwt).ok());
}

TEST_F(Agents, AHeartbeatIsNoChangeButANewEndpointIs) {
  Add("a", 1);
  changes_.clear();
  const int64_t version = registry_->GetNetMap("a")->version;
  clock_.Advance(absl::Seconds(30));
  ASSERT_TRUE(registry_->Heartbeat("a", "").ok());
  EXPECT_EQ(registry_->FindAgent("a")->last_heartbeat_ns, absl::ToUnixNanos(clock_.Now()));
  EXPECT_EQ(registry_->GetNetMap("a")->version, version);
  EXPECT_THAT(changes_, IsEmpty());
  ASSERT_TRUE(registry_->Heartbeat("a", "192.0.2.1:51820").ok());
  ASSERT_TRUE(registry_->Heartbeat("a", "192.0.2.1:51820").ok());
  EXPECT_EQ(changes_.size(), 1u);
  EXPECT_GT(registry_->GetNetMap("a")->version, version);
  EXPECT_EQ(registry_->FindAgent("a")->endpoint, "192.0.2.1:51820");
}

TEST_F(Agents, AHeartbeatOfNobodyIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(registry_->Heartbeat("a", "")));
  EXPECT_TRUE(absl::IsNotFound(registry_->HeartbeatOfApp("a")));
  EXPECT_TRUE(absl::IsNotFound(registry_->RevokeAgent("a")));
  EXPECT_TRUE(absl::IsNotFound(registry_->ApproveAgent("a")));
  EXPECT_TRUE(absl::IsNotFound(registry_->GetNetMap("a").status()));
}

TEST_F(Agents, APolicyHasAVersionAndIsAChangeForItsAgent) {
  EXPECT_EQ(registry_->GetPolicy("a")->version, 0);
  const std::vector<std::string> rules = {"10.42.0.10/32", "deny 0.0.0.0/0:22/tcp", "0.0.0.0/0:443"};
  EXPECT_EQ(registry_->SetPolicy("a", rules, "me")->version, 1);
  EXPECT_EQ(registry_->SetPolicy("a", rules, "me")->version, 2);
  EXPECT_EQ(registry_->GetPolicy("a")->rules, rules);
  EXPECT_EQ(registry_->GetPolicy("a")->updated_by, "me");
  ASSERT_EQ(changes_.size(), 2u);
  EXPECT_EQ(changes_[1].agent, "a");
  EXPECT_GT(changes_[1].version, changes_[0].version);
  ASSERT_TRUE(registry_->SetPolicy("a", {}, "me").ok());
  EXPECT_THAT(registry_->GetPolicy("a")->rules, IsEmpty());
}

TEST_F(Agents, ABadPolicyChangesNothingAndNamesTheRule) {
  ASSERT_TRUE(registry_->SetPolicy("a", {"10.0.0.0/8"}, "me").ok());
  const struct {
    const char* name;
    std::vector<std::string> rules;
    const char* why;
  } cases[] = {
      {"no address", {"10.0.0.0/8", "somewhere"}, "rule:2"},
      {"port out of range", {"10.0.0.0/8:70000"}, "rule:1"},
      {"line end inside", {"10.0.0.0/8\n0.0.0.0/0"}, "rule 1"},
      {"comment", {"10.0.0.0/8 # all"}, "rule 1"},
      {"empty", {""}, "expected one rule in each"},
  };
  for (const auto& c : cases) {
    const absl::Status status = registry_->SetPolicy("a", c.rules, "me").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << c.name << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.why)) << c.name;
  }
  EXPECT_FALSE(registry_->SetPolicy("a/b", {}, "me").ok());
  EXPECT_EQ(registry_->GetPolicy("a")->version, 1);
}

TEST_F(Agents, TheSecretOutlivesTheProcess) {
  const auto token = registry_->IssueUserToken("me", "viewer", absl::Hours(1));
  ASSERT_TRUE(token.ok());
  Open();
  EXPECT_TRUE(registry_->verifier().VerifyUser(*token).ok());
}

TEST_F(Agents, UserTokensAreForKnownRolesAndTimes) {
  EXPECT_FALSE(registry_->IssueUserToken("me", "root", absl::Hours(1)).ok());
  EXPECT_FALSE(registry_->IssueUserToken("", "admin", absl::Hours(1)).ok());
  EXPECT_FALSE(registry_->IssueUserToken("me", "admin", absl::Seconds(1)).ok());
  EXPECT_FALSE(registry_->IssueUserToken("me", "admin", absl::InfiniteDuration()).ok());
}

}  // namespace
}  // namespace lattice::control
