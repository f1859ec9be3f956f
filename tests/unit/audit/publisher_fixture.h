// A publisher over files in memory and a server in memory. See publisher_test.cc and publisher_rollback_test.cc.
#ifndef TESTS_UNIT_AUDIT_PUBLISHER_FIXTURE_H_
#define TESTS_UNIT_AUDIT_PUBLISHER_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tests/unit/audit/audit_fixture.h"
#include "userspace/audit/publisher.h"

namespace lattice::audit {

// A server in memory: what is published becomes delivered by a good flush. Any thread.
class FakeSink : public MessageSink {
 public:
  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) override {
    absl::MutexLock lock(&mutex_);
    if (refuse_ == msg_id) return absl::InvalidArgumentError("larger than the server takes");
    if (fail_publish_at_ == 0) return absl::UnavailableError("connection lost");
    --fail_publish_at_;
    subject_ = std::string(subject);
    pending_.emplace_back(std::string(msg_id), std::string(payload));
    return absl::OkStatus();
  }
  absl::Status Flush(absl::Duration) override {
    absl::MutexLock lock(&mutex_);
    if (slow_flushes_ > 0) {
      --slow_flushes_;
      return absl::DeadlineExceededError("no answer yet");
    }
    if (fail_flush_) {
      pending_.clear();
      return absl::UnavailableError("connection lost");
    }
    for (auto& message : pending_) delivered_.push_back(std::move(message));
    pending_.clear();
    return absl::OkStatus();
  }
  bool connected() override {
    absl::MutexLock lock(&mutex_);
    return connected_;
  }

  void set_connected(bool connected) {
    absl::MutexLock lock(&mutex_);
    connected_ = connected;
  }
  void set_fail_flush(bool fail) {
    absl::MutexLock lock(&mutex_);
    fail_flush_ = fail;
  }
  // So many flushes find the messages still on their way.
  void set_slow_flushes(int n) {
    absl::MutexLock lock(&mutex_);
    slow_flushes_ = n;
  }
  void set_fail_publish_at(size_t n) {
    absl::MutexLock lock(&mutex_);
    fail_publish_at_ = n;
  }
  void set_refuse(std::string msg_id) {
    absl::MutexLock lock(&mutex_);
    refuse_ = std::move(msg_id);
  }
  std::vector<std::pair<std::string, std::string>> delivered() const {
    absl::MutexLock lock(&mutex_);
    return delivered_;
  }
  std::string subject() const {
    absl::MutexLock lock(&mutex_);
    return subject_;
  }
  bool AwaitDelivered(size_t n) const {
    const auto enough = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return delivered_.size() >= n; };
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(60));
  }

 private:
  mutable absl::Mutex mutex_;
  bool connected_ ABSL_GUARDED_BY(mutex_) = true;
  bool fail_flush_ ABSL_GUARDED_BY(mutex_) = false;
  int slow_flushes_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t fail_publish_at_ ABSL_GUARDED_BY(mutex_) = SIZE_MAX;
  std::string refuse_ ABSL_GUARDED_BY(mutex_);
  std::string subject_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> pending_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::pair<std::string, std::string>> delivered_ ABSL_GUARDED_BY(mutex_);
};

class PublisherTest : public AuditFixture {
 protected:
  using Progress = Publisher::Progress;

  PublisherTest() {
    publishing_.audit_path = kPath;
    publishing_.batch_records = 10;
    publishing_.on_loss = [this](const Loss& loss) { losses_.push_back(loss); };
  }
  void NewPublisher() { publisher_ = Publisher::Create(fs_, clock_, sink_, publishing_).value(); }
  // Steps until there is nothing to do or something fails.
  Progress Run() {
    Progress progress;
    do {
      progress = publisher_->Step();
    } while (progress == Progress::kPublished);
    return progress;
  }
  std::vector<uint64_t> DeliveredSeqs() const {
    std::vector<uint64_t> seqs;
    for (const auto& [id, payload] : sink_.delivered()) {
      std::string node, boot;
      EXPECT_TRUE(flow::ParseEventId(id, &node, &boot, &seqs.emplace_back())) << id;
    }
    return seqs;
  }
  static std::vector<uint64_t> UpTo(uint64_t n) {
    std::vector<uint64_t> seqs;
    for (uint64_t i = 1; i <= n; ++i) seqs.push_back(i);
    return seqs;
  }

  FakeSink sink_;
  PublisherOptions publishing_;
  std::vector<Loss> losses_;
  std::unique_ptr<Publisher> publisher_;
};

}  // namespace lattice::audit

#endif  // TESTS_UNIT_AUDIT_PUBLISHER_FIXTURE_H_
