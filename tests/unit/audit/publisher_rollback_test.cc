// The server lost what it had acknowledged: the publisher goes back.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/unit/audit/publisher_fixture.h"

namespace lattice::audit {
namespace {

// A server that stores and may lose its newest messages.
class StoringSink : public FakeSink {
 public:
  absl::StatusOr<uint64_t> Begin() override { return epoch; }
  absl::Status Flush(absl::Duration timeout) override {
    const absl::Status flushed = FakeSink::Flush(timeout);
    if (!flushed.ok()) return flushed;
    const auto all = delivered();
    for (; taken_ < all.size(); ++taken_) {
      const bool there = std::find(stored.begin(), stored.end(), all[taken_].first) != stored.end();
      if (!there) stored.push_back(all[taken_].first);
    }
    return flushed;
  }
  std::optional<StoredAt> last_stored() override {
    if (stored.empty()) return std::nullopt;
    return StoredAt{.stream_created_ns = 1, .sequence = stored.size(), .msg_id = stored.back()};
  }
  absl::StatusOr<bool> Holds(const StoredAt& at) override {
    ++questions;
    if (!fail_holds.ok()) return fail_holds;
    return at.sequence <= stored.size() && stored[at.sequence - 1] == at.msg_id;
  }
  void Lose(size_t left) {
    stored.resize(left);
    ++epoch;
  }

  std::vector<std::string> stored;
  uint64_t epoch = 1;
  int questions = 0;
  absl::Status fail_holds;

 private:
  size_t taken_ = 0;
};

class PublisherStoreTest : public PublisherTest {
 protected:
  void NewPublisher() { publisher_ = Publisher::Create(fs_, clock_, store_, publishing_).value(); }
  // A batch each six seconds, so that each has its checkpoint.
  void PublishBatches(int count) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(Write(10).ok());
      clock_.Advance(absl::Seconds(6));
      ASSERT_EQ(Run(), Progress::kIdle);
    }
  }
  void ExpectAllStored(size_t n) {
    EXPECT_EQ(store_.stored.size(), n);
    for (size_t i = 0; i < store_.stored.size(); ++i) {
      EXPECT_EQ(store_.stored[i], absl::StrCat("node-1/bootaaaaaaaa/", i + 1));
    }
  }
  StoringSink store_;
};

TEST_F(PublisherStoreTest, GoesBackToTheNewestCheckpointThatHoldsAndAsksFewQuestions) {
  Open();
  NewPublisher();
  PublishBatches(50);
  ExpectAllStored(500);
  const size_t sent = store_.delivered().size();
  store_.questions = 0;
  store_.Lose(123);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_LE(store_.questions, 8);
  ExpectAllStored(500);
  EXPECT_EQ(publisher_->counters().replays, 1u);
  EXPECT_EQ(store_.delivered().size() - sent, 380u);  // from record 121 on
  EXPECT_EQ(publisher_->counters().spool_records, 0);
  store_.Lose(500);  // a new connection, and nothing lost
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(publisher_->counters().replays, 1u);
}

TEST_F(PublisherStoreTest, GoesBackToTheOldestLineWhenNoCheckpointHolds) {
  Open();
  NewPublisher();
  PublishBatches(5);
  ASSERT_TRUE(audit_->Reopen().ok());
  PublishBatches(5);
  store_.Lose(0);
  EXPECT_EQ(Run(), Progress::kIdle);
  ExpectAllStored(100);
}

TEST_F(PublisherStoreTest, ACrashWhileGoingBackGoesBackAgain) {
  Open();
  NewPublisher();
  PublishBatches(10);
  store_.Lose(35);
  store_.set_fail_publish_at(15);
  EXPECT_EQ(Run(), Progress::kFailed);
  publisher_ = nullptr;
  store_.set_fail_publish_at(SIZE_MAX);
  NewPublisher();
  EXPECT_EQ(Run(), Progress::kIdle);
  ExpectAllStored(100);
}

TEST_F(PublisherStoreTest, FindsALossAfterARestartByWhatItStored) {
  Open();
  NewPublisher();
  PublishBatches(10);
  publisher_ = nullptr;
  store_.Lose(42);
  NewPublisher();
  EXPECT_EQ(Run(), Progress::kIdle);
  ExpectAllStored(100);
  EXPECT_EQ(publisher_->counters().replays, 1u);
}

TEST_F(PublisherStoreTest, WhileTheQuestionCannotBeAskedNothingIsPublished) {
  Open();
  NewPublisher();
  PublishBatches(3);
  store_.Lose(11);
  store_.fail_holds = absl::UnavailableError("no answer");
  ASSERT_TRUE(Write(1).ok());
  EXPECT_EQ(Run(), Progress::kFailed);
  EXPECT_EQ(store_.stored.size(), 11u);
  store_.fail_holds = absl::OkStatus();
  EXPECT_EQ(Run(), Progress::kIdle);
  ExpectAllStored(31);
}

TEST_F(PublisherStoreTest, LossesThatWereToldAreNotToldAgainAfterGoingBack) {
  Open();
  NewPublisher();
  PublishBatches(2);
  fs_.SetContent(kPath, fs_.Content(kPath) + "{\"identity\":\"no record\"}\n");
  ASSERT_EQ(Run(), Progress::kIdle);
  ASSERT_EQ(losses_.size(), 1u);
  store_.Lose(5);
  EXPECT_EQ(Run(), Progress::kIdle);
  EXPECT_EQ(publisher_->counters().replays, 1u);
  EXPECT_EQ(losses_.size(), 1u);
}

}  // namespace
}  // namespace lattice::audit
