#include "userspace/audit/publisher.h"

#include <glog/logging.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/audit/decoder.h"
#include "userspace/audit/lines.h"
#include "userspace/base/status.h"
#include "userspace/flow/record.h"

namespace lattice::audit {
namespace {

HeadOptions HeadsOf(const PublisherOptions& options) {
  HeadOptions heads = options.heads;
  heads.audit_path = options.audit_path;
  return heads;
}

}  // namespace

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
  publisher->checkpoints_ = LoadCheckpoints(fs, path);
  publisher->flushed_ = publisher->stored_ = publisher->reader_->cursor();
  LATTICE_ASSIGN_OR_RETURN(const uint64_t spool, publisher->reader_->CountRemaining());
  publisher->counters_.spool_records = static_cast<int64_t>(spool);
  return publisher;
}

Publisher::Publisher(FileSystem& fs, const Clock& clock, MessageSink& sink, PublisherOptions options)
    : fs_(fs), clock_(clock), sink_(sink), options_(std::move(options)), heads_(fs, clock, HeadsOf(options_)) {}

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

void Publisher::Written(uint64_t records, const Head& head) {
  if (records == 0) return;
  if (head.seq > 0) heads_.Moved(head);
  written_.fetch_add(static_cast<int64_t>(records), std::memory_order_relaxed);
  counters_.spool_records.fetch_add(static_cast<int64_t>(records), std::memory_order_relaxed);
  absl::MutexLock lock(&mutex_);
  work_ = true;
}

void Publisher::Run() {
  while (true) {
    const bool was_stopping = stopping();
    const Progress progress = Step();
    // One more look after the order to stop: records of the last moment and the last head go out too.
    const bool going_on = !was_stopping || progress == Progress::kPublished || progress == Progress::kWaiting;
    absl::Duration pause = absl::ZeroDuration();
    if (progress == Progress::kIdle) pause = options_.poll_interval;
    if (progress == Progress::kNotConnected || progress == Progress::kFailed) pause = backoff_;
    if (WaitUnlessStopping(pause, /*wake_for_work=*/progress == Progress::kIdle)) continue;
    // Stopping: what is left goes out while that works and the time lasts.
    absl::MutexLock lock(&mutex_);
    if (!going_on || absl::Now() >= deadline_) break;
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
  if (handed_over_ + heads_.handed_over() > 0) return Flush();
  if (!sink_.connected()) {
    BackOff();
    return Progress::kNotConnected;
  }
  if (const absl::Status status = Begin(); !status.ok()) return Fail(status);
  const int64_t written = written_;
  if (const absl::Status status = HandOver(); !status.ok()) return Fail(status);
  if (const absl::Status status = heads_.HandOver(sink_, stopping()); !status.ok()) return Fail(status);
  if (lines_ + heads_.handed_over() > 0) return Flush();
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
  for (const Refused& refused : sink_.TakeRefused()) SkipRefused(refused);
  counters_.published.fetch_add(std::exchange(handed_over_, 0), std::memory_order_relaxed);
  counters_.spool_records.fetch_sub(static_cast<int64_t>(std::exchange(lines_, 0)), std::memory_order_relaxed);
  flushed_ = reader_->cursor();
  if (std::optional<StoredAt> stored = sink_.last_stored()) {
    checkpoints_.Add({.cursor = flushed_, .stored = *std::move(stored), .at = clock_.Now()});
  }
  heads_.Flushed();
  SettleBatch();
  MoveCursor(/*force_store=*/false);
  return Progress::kPublished;
}

bool Publisher::stopping() {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

absl::Status Publisher::Begin() {
  LATTICE_ASSIGN_OR_RETURN(const uint64_t number, sink_.Begin());
  if (checked_ == number) return absl::OkStatus();
  LATTICE_RETURN_IF_ERROR(CheckStored());
  checked_ = number;
  return absl::OkStatus();
}

// Goes back if the server no longer has what it acknowledged.
absl::Status Publisher::CheckStored() {
  const std::vector<Checkpoint>& all = checkpoints_.all();
  if (all.empty()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(const bool newest, sink_.Holds(all.back().stored));
  if (newest) return absl::OkStatus();
  // Those before `held` are stored, those from `gone` on are not: what is stored is a beginning of the stream.
  size_t held = 0;
  size_t gone = all.size() - 1;
  while (held < gone) {
    const size_t middle = held + (gone - held) / 2;
    LATTICE_ASSIGN_OR_RETURN(const bool holds, sink_.Holds(all[middle].stored));
    if (holds) {
      held = middle + 1;
    } else {
      gone = middle;
    }
  }
  return GoBack(held);
}

// To the newest of so many oldest checkpoints; of none, to the oldest line.
absl::Status Publisher::GoBack(size_t checkpoints) {
  const StoredAt lost = checkpoints_.all().back().stored;
  const Cursor back = checkpoints == 0 ? Cursor() : checkpoints_.all()[checkpoints - 1].cursor;
  LATTICE_RETURN_IF_ERROR(reader_->Seek(back));
  reader_skipped_ = reader_->skipped();
  LATTICE_ASSIGN_OR_RETURN(const uint64_t spool, reader_->CountRemaining());
  LOG(WARNING) << "publisher: the server lost what it had stored: message " << lost.sequence << " (" << lost.msg_id
               << ") is not there any more. Publishing " << spool << " records again, from "
               << (checkpoints == 0 ? std::string("the oldest in the audit files")
                                    : absl::StrCat("record ", back.seq, " of boot ", back.boot));
  counters_.replays.fetch_add(1, std::memory_order_relaxed);
  counters_.spool_records = static_cast<int64_t>(spool);
  checkpoints_.Cut(checkpoints);
  // Going back again before that was reached: further on it is told too.
  if (told_until_.boot.empty()) told_until_ = flushed_;
  flushed_ = back;
  gaps_.clear();
  heads_.SendAgain();
  MoveCursor(/*force_store=*/true);
  return absl::OkStatus();
}

// After going back: whether the line before `cursor` was passed before, and its loss told, if it is one.
bool Publisher::ToldBefore(const Cursor& cursor) const {
  if (told_until_.boot.empty()) return false;
  if (cursor.boot != told_until_.boot) return true;  // an earlier boot: the reader goes through told_until_ to others
  return std::pair(cursor.first_seq, cursor.offset) <= std::pair(told_until_.first_seq, told_until_.offset);
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

// The server's own answer, when it was handed over already.
void Publisher::SkipRefused(const Refused& refused) {
  const std::vector<absl::string_view> parts = absl::StrSplit(refused.msg_id, '/');  // node/boot/seq
  uint64_t seq = 0;
  LOG(ERROR) << "publisher: " << refused.msg_id << " is refused for good and is skipped: " << refused.reason;
  if (parts.size() < 3 || parts[0] == "head" || parts[0] == "digest" || !absl::SimpleAtoi(parts.back(), &seq)) return;
  if (handed_over_ > 0) --handed_over_;
  if (skipped_.first_seq == 0 || seq < skipped_.first_seq) skipped_.first_seq = seq;
  skipped_.last_seq = std::max(skipped_.last_seq, seq);
  skipped_.boot = std::string(parts[parts.size() - 2]);
  ++skipped_.count;
  counters_.undecodable.fetch_add(1, std::memory_order_relaxed);
}

void Publisher::Skip(absl::string_view line, absl::string_view what, const absl::Status& status) {
  if (ToldBefore(reader_->cursor())) return;
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
  const uint64_t unread = reader_->skipped() - std::exchange(reader_skipped_, reader_->skipped());
  if (!ToldBefore(flushed_)) skipped_.count += unread;
  if (!ToldBefore(flushed_)) told_until_ = {};
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
  told_until_ = {};
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
  heads_.Failed();
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
  absl::Status stored = absl::OkStatus();
  // The older ones first: after a crash in between there is one too many, or the same twice.
  if (std::string older = checkpoints_.EncodeOlder(); older != stored_checkpoints_) {
    stored = fs_.WriteAtomically(CheckpointsPath(options_.audit_path), older, 0640);
    if (stored.ok()) stored_checkpoints_ = std::move(older);
  }
  const std::vector<Checkpoint>& all = checkpoints_.all();
  const bool placed = !all.empty() && all.back().cursor == flushed_;
  stored.Update(fs_.WriteAtomically(CursorPath(options_.audit_path),
                                    placed ? EncodeCheckpoint(all.back()) : EncodeCursor(flushed_), 0640));
  if (stored.ok()) {
    stored_ = flushed_;
  } else if (auto suppressed = failure_log_.Admit(now_ns)) {
    LOG(ERROR) << "publisher: the cursor can't be stored, a restart would publish again what is published: "
               << stored.message() << " (" << *suppressed << " more such failures)";
  }
}

}  // namespace lattice::audit
