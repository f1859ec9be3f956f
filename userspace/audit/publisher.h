// Carries the audit file to NATS: reads it by a stored cursor, hands messages to a
// MessageSink, and moves the cursor when the sink has flushed.
//
//   LATTICE_ASSIGN_OR_RETURN(auto publisher, Publisher::Create(fs, clock, sink, options));
//   publisher->Start();
//   publisher->Written(n);              // by the recorder after each good Commit()
//   publisher->Stop(absl::Seconds(5));  // publishes what is left, at most that long
//
// The promise: at least once, in order. After a failure everything since the last flush is
// sent again under the same ids. When the sink's server lost what it had acknowledged, the publisher goes back to the
// newest checkpoint that is still stored, or to the oldest line. It also publishes the heads (heads.h). A slow server
// is no failure: its answer is waited for. The sink being away only makes the spool grow. Step() does the work and runs
// on the publisher's own thread, or on a test's; Written(), Stop() and counters() from any thread.
#ifndef USERSPACE_AUDIT_PUBLISHER_H_
#define USERSPACE_AUDIT_PUBLISHER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/audit_file_options.h"
#include "userspace/audit/checkpoints.h"
#include "userspace/audit/encoder.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/heads.h"
#include "userspace/audit/reader.h"
#include "userspace/audit/sink.h"
#include "userspace/base/clock.h"
#include "userspace/base/rate_limit.h"

namespace lattice::audit {

struct PublisherOptions {
  std::string audit_path;
  std::string subject{kFlowSubject};
  size_t batch_records = 4096;
  absl::Duration flush_timeout = absl::Seconds(5);
  // The cursor is stored when the spool is empty, and at least this often otherwise: a crash
  // sends that much again.
  absl::Duration cursor_interval = absl::Milliseconds(200);
  absl::Duration min_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  HeadOptions heads;  // audit_path is put in
  // Without Written() the file is looked at this often.
  absl::Duration poll_interval = absl::Milliseconds(200);
  // Records that the stream will not have: lines that are skipped, and segments that were gone and that no loss
  // record in the file speaks of. On the publisher's thread, when it is certain.
  std::function<void(const Loss&)> on_loss = [](const Loss&) {};
};

struct PublisherCounters {
  std::atomic<uint64_t> published{0};     // flushed
  std::atomic<uint64_t> failed{0};        // handed over in a batch that failed; they are sent again
  std::atomic<uint64_t> undecodable{0};   // lines that are no records, or that the sink refuses for good; skipped
  std::atomic<uint64_t> replays{0};       // the server lost what it had stored
  std::atomic<int64_t> spool_records{0};  // in the file, not yet published
};

// Numbers first to last of a boot.
struct SeqRange {
  std::string boot;
  uint64_t first = 0;
  uint64_t last = 0;
};
// Takes `part` out of `ranges`.
void Subtract(std::vector<SeqRange>& ranges, const SeqRange& part);

class Publisher {
 public:
  // Loads the cursor and counts the spool. `fs`, `clock` and `sink` must outlive this. Create it
  // before the recorder's first Commit() and after AuditFile::Open().
  static absl::StatusOr<std::unique_ptr<Publisher>> Create(FileSystem& fs, const Clock& clock, MessageSink& sink,
                                                           PublisherOptions options);
  ~Publisher();  // Stop(0)

  void Start();
  // Ends the thread. Until `drain` is over it goes on publishing what the file holds, unless the
  // sink fails; a Flush() that is under way may take flush_timeout more. The cursor is stored.
  void Stop(absl::Duration drain);
  // `records` more are in the file, and `head` is its newest line.
  void Written(uint64_t records, const Head& head = {});

  // kWaiting: the server has not yet answered for the batch that was handed over.
  enum class Progress { kPublished, kIdle, kWaiting, kNotConnected, kFailed };
  // One batch, or more waiting for the last one. After kNotConnected and kFailed wait backoff().
  Progress Step();
  absl::Duration backoff() const { return backoff_; }

  const PublisherCounters& counters() const { return counters_; }

 private:
  Publisher(FileSystem& fs, const Clock& clock, MessageSink& sink, PublisherOptions options);
  void Run();
  bool WaitUnlessStopping(absl::Duration timeout, bool wake_for_work);
  absl::Duration FlushTimeout();
  bool stopping();
  absl::Status Begin();
  absl::Status CheckStored();
  absl::Status GoBack(size_t checkpoints);
  bool ToldBefore(const Cursor& cursor) const;
  absl::Status HandOver();
  Progress Flush();
  void SkipRefused(const Refused& refused);
  void Skip(absl::string_view line, absl::string_view what, const absl::Status& status);
  void NoteGap(const Cursor& before, size_t line_bytes);
  void NoteTold(const flow::FlowRecord& loss);
  void SettleBatch();
  void TellGaps();
  void BackOff();
  Progress Fail(const absl::Status& status);
  void MoveCursor(bool force_store);

  FileSystem& fs_;
  const Clock& clock_;
  MessageSink& sink_;
  const PublisherOptions options_;
  std::unique_ptr<SegmentReader> reader_;
  Encoder encoder_;
  std::string message_;
  Heads heads_;
  Checkpoints checkpoints_;
  std::optional<uint64_t> checked_;  // the sink's number for which the server has what the checkpoints say
  Cursor told_until_;                // going back: losses up to here are told already
  std::string stored_checkpoints_;
  // Of the batch that is not flushed: lines read, and those of them that the sink has.
  size_t lines_ = 0;
  size_t handed_over_ = 0;
  Loss skipped_;
  std::vector<SeqRange> batch_gaps_;
  std::vector<SeqRange> batch_told_;  // by loss records
  std::vector<SeqRange> gaps_;        // of batches before, since the last idle moment
  uint64_t reader_skipped_ = 0;       // of reader_->skipped(), told
  Cursor flushed_;
  Cursor stored_;
  int64_t stored_at_ns_ = 0;
  absl::Duration backoff_ = absl::ZeroDuration();
  RateLimit failure_log_{absl::Seconds(30)};
  RateLimit skip_log_{absl::Seconds(30)};
  PublisherCounters counters_;
  std::atomic<int64_t> written_{0};  // told by Written()

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool work_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Time deadline_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_PUBLISHER_H_
