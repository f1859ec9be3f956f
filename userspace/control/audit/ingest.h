// The audit consumer: takes messages from the stream, stores them, and acknowledges what is stored.
//
// Promise: a message is acknowledged only after its event is committed, or kept raw as a reject. While the database
// takes nothing, messages stay with us or in the stream, and nothing is acknowledged. A batch that the database refuses
// for its content is halved until the one row is found, which becomes a reject: it can't stop the others.
//
// Threads: one of its own; counters, state(), RequestStop() and Stop() from any.
#ifndef USERSPACE_CONTROL_AUDIT_INGEST_H_
#define USERSPACE_CONTROL_AUDIT_INGEST_H_

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
#include "userspace/base/rate_limit.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/nats/pull_consumer.h"

namespace lattice::control {

struct IngestOptions {
  nats::Options nats;
  nats::StreamConfig stream;
  nats::ConsumerConfig consumer;
  // What comes in this time is one transaction. Of a backlog that is as much as consumer.max_ack_pending: what a
  // transaction costs beside its rows, and the pages that many of its rows change, are paid for once.
  absl::Duration batch_wait = absl::Milliseconds(50);
  absl::Duration min_backoff = absl::Milliseconds(100);
  absl::Duration max_backoff = absl::Seconds(5);
  // Gives the agent's name for its token (header Lattice-Agent-Token) on a message written and in the stream since
  // then. PermissionDenied: the agent is revoked. Empty: messages are taken without a token.
  std::function<absl::StatusOr<std::string>(absl::string_view token, absl::Time written, absl::Time received)>
      verify_token;
};

struct IngestCounters {
  std::atomic<uint64_t> received{0};
  std::atomic<uint64_t> redelivered{0};
  std::atomic<uint64_t> stored{0};
  std::atomic<uint64_t> duplicates{0};
  std::atomic<uint64_t> rejected{0};
  std::atomic<uint64_t> heads{0};
  std::atomic<uint64_t> batches{0};
  std::atomic<uint64_t> store_failures{0};  // batches that the database did not take, each try
  std::atomic<uint64_t> reconnects{0};
  std::atomic<uint64_t> rewinds{0};  // the stream went back, and was read again from its beginning
};

struct IngestState {
  bool connected = false;  // to NATS
  // Since when NATS, though it may take connections, answers nothing; InfiniteFuture: it answers.
  absl::Time silent_since = absl::InfiniteFuture();
  std::string problem;  // empty: all is well; else for people, with what is being done
  std::optional<nats::StreamState> stream;
  absl::Time last_stored;
};

// What the messages amount to. Pure but for verify_token.
IngestBatch DecodeBatch(const std::vector<nats::Message>& messages, const IngestOptions& options);

class Ingest {
 public:
  Ingest(FlowStore& store, IngestOptions options);
  ~Ingest() { Stop(); }

  void Start();
  void RequestStop();  // without waiting
  // Ends after the batch at hand; one that the database does not take comes again to the next reader.
  void Stop();

  const IngestCounters& counters() const { return counters_; }
  IngestState state() const;

 private:
  void Run();
  absl::Status Read(nats::PullConsumer& consumer);
  absl::Status Keep(nats::PullConsumer& consumer, const std::vector<nats::Message>& messages);
  absl::StatusOr<IngestResult> Store(const IngestBatch& batch);
  absl::StatusOr<IngestResult> StoreHalves(const IngestBatch& batch, const absl::Status& why);
  void Count(const IngestResult& result);
  void Problem(absl::string_view what, const absl::Status& status);
  void Well(bool connected);
  void NoteSilence(const absl::Status& ended);
  bool Sleep(absl::Duration duration);
  bool stopping() const;

  FlowStore& store_;
  const IngestOptions options_;
  IngestCounters counters_;
  RateLimit log_{absl::Seconds(30)};
  RateLimit reject_log_{absl::Seconds(30)};

  mutable absl::Mutex mutex_;
  IngestState state_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_INGEST_H_
