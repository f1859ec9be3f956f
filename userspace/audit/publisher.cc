#include "userspace/audit/publisher.h"

#include <glog/logging.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/lines.h"
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
  TellGaps();
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
  SettleBatch();
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
    const Cursor before = reader_->cursor();
    LATTICE_ASSIGN_OR_RETURN(const std::optional<absl::string_view> line, reader_->Next());
    if (!line.has_value()) break;
    NoteGap(before, line->size() + 1);
    absl::StatusOr<DecodedLine> decoded = DecodeLine(*line);
    if (!decoded.ok()) {
      Skip(*line, "a line can't be read", decoded.status());
      continue;
    }
    const flow::FlowRecord& record = decoded->record;
    if (record.event == flow::Event::kLoss) NoteTold(record);
    message_.clear();
    encoder_.AppendMessage(record, message_);
    const absl::Status published =
        sink_.Publish(options_.subject, message_, flow::EventId(record.node, record.boot, record.seq));
    if (absl::IsInvalidArgument(published)) {
      Skip(*line, "a record is refused for good", published);
      continue;
    }
    if (!published.ok()) return published;
    ++handed_over_;
  }
  return absl::OkStatus();
}

void Publisher::Skip(absl::string_view line, absl::string_view what, const absl::Status& status) {
  if (const uint64_t seq = SeqOfLine(line); seq != 0) {
    if (skipped_.first_seq == 0) skipped_.first_seq = seq;
    skipped_.last_seq = seq;
  }
  skipped_.boot = reader_->cursor().boot;
  ++skipped_.count;
  counters_.undecodable.fetch_add(1, std::memory_order_relaxed);
  if (auto suppressed = skip_log_.Admit(clock_.MonotonicNs())) {
    LOG(ERROR) << "publisher: " << what << " and is skipped, after record " << reader_->cursor().seq << " of boot "
               << reader_->cursor().boot << ": " << status.message() << " (" << *suppressed << " more)";
  }
}

// The line that was just read begins a segment: the numbers before it, of the same boot, should have been read.
void Publisher::NoteGap(const Cursor& before, size_t line_bytes) {
  const Cursor& now = reader_->cursor();
  const bool begins = now.offset == static_cast<int64_t>(line_bytes);
  if (!begins || before.seq == 0 || now.boot != before.boot || now.seq <= before.seq + 1) return;
  batch_gaps_.push_back({now.boot, before.seq + 1, now.seq - 1});
}

void Publisher::NoteTold(const flow::FlowRecord& loss) {
  if (loss.lost_first_seq == 0) return;
  batch_told_.push_back({loss.lost_boot.empty() ? loss.boot : loss.lost_boot, loss.lost_first_seq, loss.lost_last_seq});
}

// The batch is flushed: what it lacks is certain.
void Publisher::SettleBatch() {
  skipped_.count += reader_->skipped() - std::exchange(reader_skipped_, reader_->skipped());
  if (skipped_.count > 0) {
    skipped_.stage = flow::kStageUnpublishable;
    skipped_.from = clock_.Now();
    options_.on_loss(std::exchange(skipped_, {}));
  }
  for (SeqRange& gap : std::exchange(batch_gaps_, {})) gaps_.push_back(std::move(gap));
  for (const SeqRange& told : std::exchange(batch_told_, {})) Subtract(gaps_, told);
}

// All is read: no loss record that is still to come speaks of these.
void Publisher::TellGaps() {
  for (const SeqRange& gap : std::exchange(gaps_, {})) {
    LOG(ERROR) << "publisher: records " << gap.first << " to " << gap.last << " of boot " << gap.boot
               << " were taken away before they were published";
    options_.on_loss({.stage = flow::kStageSegmentMissing,
                      .count = gap.last - gap.first + 1,
                      .from = clock_.Now(),
                      .first_seq = gap.first,
                      .last_seq = gap.last,
                      .boot = gap.boot});
  }
}

void Subtract(std::vector<SeqRange>& ranges, const SeqRange& part) {
  std::vector<SeqRange> left;
  for (SeqRange& range : ranges) {
    if (range.boot != part.boot || part.last < range.first || part.first > range.last) {
      left.push_back(std::move(range));
      continue;
    }
    if (range.first < part.first) left.push_back({range.boot, range.first, part.first - 1});
    if (part.last < range.last) left.push_back({range.boot, part.last + 1, range.last});
  }
  ranges = std::move(left);
}

void Publisher::BackOff() {
  backoff_ = std::clamp(2 * backoff_, options_.min_backoff, options_.max_backoff);
}

// Everything since the last flush will be read and sent again.
Publisher::Progress Publisher::Fail(const absl::Status& status) {
  BackOff();
  counters_.failed.fetch_add(std::exchange(handed_over_, 0), std::memory_order_relaxed);
  lines_ = 0;
  skipped_ = {};
  batch_gaps_.clear();
  batch_told_.clear();
  if (auto suppressed = failure_log_.Admit(clock_.MonotonicNs())) {
    LOG(WARNING) << "publisher: " << status.message() << "; records stay in the audit file and are sent again ("
                 << *suppressed << " more such failures)";
  }
  if (const absl::Status back = reader_->Seek(flushed_); !back.ok()) {
    LOG(ERROR) << "publisher: " << back.message();
  }
  reader_skipped_ = reader_->skipped();
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
