// What the control plane is told of the audit file: when, in which shape, and again until it arrived.
#include "userspace/audit/heads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tests/testing/temp_dir.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/digest.h"

namespace lattice::audit {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class MemorySink : public MessageSink {
 public:
  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) override {
    if (!fail.ok()) return fail;
    EXPECT_EQ(subject, kHeadSubject);
    ids.emplace_back(msg_id);
    messages[ids.back()] = nlohmann::json::parse(payload);
    return absl::OkStatus();
  }
  absl::Status Flush(absl::Duration) override { return absl::OkStatus(); }
  bool connected() override { return true; }

  absl::Status fail;
  std::vector<std::string> ids;
  std::map<std::string, nlohmann::json> messages;
};

class HeadsTest : public AuditFixture {
 protected:
  HeadsTest() {
    head_options_ = {.audit_path = kPath, .node = "node-1", .agent_id = "agent-1", .public_key = std::string(32, 'k')};
    NewHeads();
  }
  void NewHeads() { heads_ = std::make_unique<Heads>(fs_, clock_, head_options_); }
  void Move() { heads_->Moved(audit_->newest()); }
  // The ids that a batch carries.
  std::vector<std::string> Batch(bool stopping = false) {
    sink_.ids.clear();
    EXPECT_TRUE(heads_->HandOver(sink_, stopping).ok());
    EXPECT_EQ(heads_->handed_over(), sink_.ids.size());
    heads_->Flushed();
    return sink_.ids;
  }

  MemorySink sink_;
  HeadOptions head_options_;
  std::unique_ptr<Heads> heads_;
};

TEST_F(HeadsTest, AHeadIsSentAtMostEachTenSecondsAndOnlyIfItMoved) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  EXPECT_THAT(Batch(), IsEmpty());  // none known
  Move();
  EXPECT_THAT(Batch(), IsEmpty());  // not yet due
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(Batch(), ElementsAre("head/node-1/bootaaaaaaaa/3"));
  EXPECT_EQ(sink_.messages["head/node-1/bootaaaaaaaa/3"]["h"], std::string(audit_->head()));
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(Batch(), IsEmpty());
  ASSERT_TRUE(Write(1).ok());
  Move();
  EXPECT_THAT(Batch(), IsEmpty());
  EXPECT_THAT(Batch(/*stopping=*/true), ElementsAre("head/node-1/bootaaaaaaaa/4"));
  EXPECT_THAT(Batch(/*stopping=*/true), IsEmpty());
}

TEST_F(HeadsTest, WhatFailedIsSentWithTheNextBatch) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  Move();
  ASSERT_TRUE(heads_->HandOver(sink_, false).ok());
  EXPECT_EQ(heads_->handed_over(), 2u);
  heads_->Failed();
  EXPECT_EQ(heads_->handed_over(), 0u);
  EXPECT_THAT(Batch(), ElementsAre("digest/node-1/bootaaaaaaaa/1", "head/node-1/bootaaaaaaaa/3"));
}

TEST_F(HeadsTest, AnErrorOfTheSinkIsHandedOn) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  Move();
  sink_.fail = absl::UnavailableError("away");
  EXPECT_TRUE(absl::IsUnavailable(heads_->HandOver(sink_, true)));
  heads_->Failed();
  sink_.fail = absl::OkStatus();
  EXPECT_THAT(Batch(true), SizeIs(1));
}

TEST_F(HeadsTest, ADigestIsSentOnceAlsoOverARestart) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  EXPECT_THAT(Batch(), ElementsAre("digest/node-1/bootaaaaaaaa/1"));
  const nlohmann::json& json = sink_.messages["digest/node-1/bootaaaaaaaa/1"];
  EXPECT_EQ(json["digest"], fs_.Content("d/audit-bootaaaaaaaa-1.digest"));
  EXPECT_EQ(json["signature"], "");  // this file has no key
  NewHeads();
  EXPECT_THAT(Batch(), IsEmpty());
  EXPECT_EQ(fs_.Content(HeadsPath(kPath)), "audit-bootaaaaaaaa-1.digest\n");
}

TEST_F(HeadsTest, ManyDigestsGoInSeveralBatchesAndDeletedOnesAreForgotten) {
  Open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Write(1).ok());
    ASSERT_TRUE(audit_->Reopen().ok());
  }
  EXPECT_THAT(Batch(), SizeIs(64));
  EXPECT_THAT(Batch(), SizeIs(36));
  for (uint64_t first = 1; first <= 99; ++first) ASSERT_TRUE(fs_.Remove(DigestPath(kPath, options_.boot, first)).ok());
  clock_.Advance(absl::Seconds(10));
  EXPECT_THAT(Batch(), IsEmpty());
  EXPECT_EQ(fs_.Content(HeadsPath(kPath)), "audit-bootaaaaaaaa-100.digest\n");
}

TEST_F(HeadsTest, AStateFileThatIsNoneMeansThatAllAreSentAgain) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  fs_.SetContent(HeadsPath(kPath), std::string("\0\xff\n{}\n\n../../etc", 16));
  EXPECT_THAT(Batch(), SizeIs(1));
  EXPECT_EQ(fs_.Content(HeadsPath(kPath)), "audit-bootaaaaaaaa-1.digest\n");
}

TEST_F(HeadsTest, DigestsOfAnotherAuditFileAndWhatIsNoneAreLeftOut) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  fs_.SetContent("d/audit-two-bootaaaaaaaa-1.digest", fs_.Content("d/audit-bootaaaaaaaa-1.digest"));
  fs_.SetContent("d/audit-bootaaaaaaaa-77.digest", "garbage");
  EXPECT_THAT(Batch(), ElementsAre("digest/node-1/bootaaaaaaaa/1"));
}

TEST_F(HeadsTest, AfterALossOfTheStreamAllIsSentAgain) {
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  Move();
  EXPECT_THAT(Batch(), SizeIs(2));
  heads_->SendAgain();
  EXPECT_THAT(Batch(), SizeIs(2));
}

TEST_F(HeadsTest, WithoutANodeNothingIsSent) {
  head_options_.node = "";
  NewHeads();
  Open();
  ASSERT_TRUE(Write(3).ok());
  ASSERT_TRUE(audit_->Reopen().ok());
  Move();
  EXPECT_THAT(Batch(true), IsEmpty());
}

TEST_F(HeadsTest, AHeadIsKnownOnlyOnceThisProcessWrote) {
  Open();
  EXPECT_EQ(audit_->newest().seq, 0u);
  ASSERT_TRUE(Write(2).ok());
  Restart();
  EXPECT_EQ(audit_->newest().seq, 0u);  // what it found may be anybody's
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(audit_->newest().seq, 3u);
  EXPECT_EQ(audit_->newest().h, std::string(audit_->head()));
}

}  // namespace
}  // namespace lattice::audit
