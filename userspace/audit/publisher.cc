#include "userspace/audit/publisher.h"

#include <glog/logging.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "userspace/audit/decoder.h"
#include "userspace/base/status.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

absl::StatusOr<std::unique_ptr<Publisher>> Publisher::Create(FileSystem& fs, const Clock& clock, MessageSink& sink,
                                                             PublisherOptions options) {
  auto publisher = absl::WrapUnique(new Publisher(fs, clock, sink, std::move(options)));
  const std::string& path = publisher->options_.audit_path;
  absl::StatusOr<std::optional<Cursor>> cursor = LoadCursor(fs, CursorPath(path));
  if (absl::IsInvalidArgument(cursor.status())) {
    LOG(ERROR) << "the publisher's cursor can't be read, everything in the audit files is published again: "
               << cursor.status().message();
    cursor = std::nullopt;
  }
  if (!cursor.ok()) return cursor.status();
  LATTICE_ASSIGN_OR_RETURN(publisher->reader_, SegmentReader::Open(fs, path, *cursor));
  publisher->flushed_ = publisher->stored_ = publisher->reader_->cursor();
  LATTICE_ASSIGN_OR_RETURN(const uint64_t spool, publisher->reader_->CountRemaining());
  publisher->counters_.spool_records = static_cast<int64_t>(spool);
  return publisher;
}

Publisher::Publisher(FileSystem& fs, const Clock& clock, MessageSink& sink, PublisherOptions options)
    : fs_(fs), clock_(clock), sink_(sink), options_(std::move(options)) {}

Publisher::~Publisher() {
  Stop(absl::ZeroDuration());
}

void Publisher::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Publisher::Stop(absl::Duration drain) {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
    deadline_ = absl::Now() + drain;
  }
  if (thread_.joinable()) thread_.join();
}

void Publisher::Written(uint64_t records) {
  if (records == 0) return;
  written_.fetch_add(static_cast<int64_t>(records), std::memory_order_relaxed);
  counters_.spool_records.fetch_add(static_cast<int64_t>(records), std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  work_ = true;
}

void Publisher::Run() {
  while (true) {
    const Progress progress = Step();
    const bool idle = progress != Progress::kPublished && progress != Progress::kWaiting;
    absl::Duration pause = absl::ZeroDuration();
    if (progress == Progress::kIdle) pause = options_.poll_interval;
    if (progress == Progress::kNotConnected || progress == Progress::kFailed) pause = backoff_;
    if (WaitUnlessStopping(pause, /*wake_for_work=*/progress == Progress::kIdle)) continue;
    // Stopping: what is left goes out while that works and the time lasts.
    absl::MutexLock lock(&mutex_);
    if (idle || absl::Now() >= deadline_) break;
  }
  MoveCursor(/*force_store=*/true);
}

// False at once when stopping.
bool Publisher::WaitUnlessStopping(absl::Duration timeout, bool wake_for_work) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this, wake_for_work]()
                         ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || (wake_for_work && work_); };
  if (timeout > absl::ZeroDuration()) mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
  if (wake_for_work) work_ = false;
  return !stopping_;
}

Publisher::Progress Publisher::Step() {
  if (handed_over_ > 0) return Flush();
  if (!sink_.connected()) {
    BackOff();
    return Progress::kNotConnected;
  }
  const int64_t written = written_;
  if (const absl::Status status = HandOver(); !status.ok()) return Fail(status);
  if (lines_ > 0) return Flush();
  // All that was written before is read or deleted.
  counters_.spool_records = written_ - written;
  MoveCursor(/*force_store=*/true);
  backoff_ = absl::ZeroDuration();
  return Progress::kIdle;
}

Publisher::Progress Publisher::Flush() {
  const absl::Status status = sink_.Flush(FlushTimeout());
  if (absl::IsDeadlineExceeded(status)) {
    if (auto suppressed = failure_log_.Admit(clock_.MonotonicNs())) {
      LOG(WARNING) << "publisher: the server is slow, " << handed_over_ << " records are on their way to it ("
                   << *suppressed << " more such waits)";
    }
    return Progress::kWaiting;
  }
  if (!status.ok()) return Fail(status);
  backoff_ = absl::ZeroDuration();
  counters_.published.fetch_add(std::exchange(handed_over_, 0), std::memory_order_relaxed);
  counters_.spool_records.fetch_sub(static_cast<int64_t>(std::exchange(lines_, 0)), std::memory_order_relaxed);
  flushed_ = reader_->cursor();
  MoveCursor(/*force_store=*/false);
  return Progress::kPublished;
}

absl::Duration Publisher::FlushTimeout() {
  absl::MutexLock lock(&mutex_);
  if (!stopping_) return options_.flush_timeout;
  return std::clamp(deadline_ - absl::Now(), absl::ZeroDuration(), options_.flush_timeout);
}

// Publishes the next batch.
absl::Status Publisher::HandOver() {
  for (; lines_ < options_.batch_records; ++lines_) {
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, reader_->Next());
    if (!line.has_value()) break;
    absl::StatusOr<DecodedLine> decoded = DecodeLine(*line);
    if (!decoded.ok()) {
      Skip("a line can't be read", decoded.status());
      continue;
    }
    const flow::FlowRecord& record = decoded->record;
    message_.clear();
    encoder_.AppendMessage(record, message_);
    const absl::Status published =
        sink_.Publish(options_.subject, message_, flow::EventId(record.node, record.boot, record.seq));
    if (absl::IsInvalidArgument(published)) {
      Skip("a record is refused for good", published);
      continue;
    }
    if (!published.ok()) return published;
    ++handed_over_;
  }
  return absl::OkStatus();
}

void Publisher::Skip(absl::string_view what, const absl::Status& status) {
  counters_.undecodable.fetch_add(1, std::memory_order_relaxed);
  if (auto suppressed = skip_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "publisher: " << what << " and is skipped, after record " << reader_->cursor().seq << " of boot "
               << reader_->cursor().boot << ": " << status.message() << " (" << *suppressed << " more)";
  }
}

void Publisher::BackOff() {
  backoff_ = std::clamp(2 * backoff_, options_.min_backoff, options_.max_backoff);
}

// Everything since the last flush will be read and sent again.
Publisher::Progress Publisher::Fail(const absl::Status& status) {
  BackOff();
  counters_.failed.fetch_add(std::exchange(handed_over_, 0), std::memory_order_relaxed);
  lines_ = 0;
  if (auto suppressed = failure_log_.Admit(clock_.MonotonicNs())) {
    LOG(WARNING) << "publisher: " << status.message() << "; records stay in the audit file and are sent again ("
                 << *suppressed << " more such failures)";
  }
  if (const absl::Status back = reader_->Seek(flushed_); !back.ok()) {
    LOG(ERROR) << "publisher: " << back.message();
  }
  return Progress::kFailed;
}

void Publisher::MoveCursor(bool force_store) {
  if (flushed_ == stored_) return;
  const int64_t now_ns = clock_.MonotonicNs();
  if (!force_store && now_ns - stored_at_ns_ < absl::ToInt64Nanoseconds(options_.cursor_interval)) return;
  stored_at_ns_ = now_ns;
  const absl::Status stored = StoreCursor(fs_, CursorPath(options_.audit_path), flushed_);
  if (stored.ok()) {
    stored_ = flushed_;
  } else if (auto suppressed = failure_log_.Admit(now_ns)) {
    LOG(ERROR) << "publisher: the cursor can't be stored, a restart would publish again what is published: "
               << stored.message() << " (" << *suppressed << " more such failures)";
  }
}

}  // namespace lattice::audit
