// The audit publisher's sink over NATS: JetStream, where a message counts when the stream has stored it, or core NATS,
// where it counts when the server has received it. The connection is made at the first use, on
// the publisher's thread, so that no NATS thread exists before privileges are dropped
// and a server that is down never delays the start.
//
// The MessageSink part: publisher's thread. The rest: any.
#ifndef USERSPACE_DP_NATS_SINK_H_
#define USERSPACE_DP_NATS_SINK_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/sink.h"
#include "userspace/nats/connection.h"
#include "userspace/nats/jetstream_publisher.h"

namespace lattice::dp {

struct NatsSinkOptions {
  nats::Options nats;
  bool jetstream = true;
  nats::JetStreamOptions stream;
};

class NatsSink : public audit::MessageSink {
 public:
  explicit NatsSink(NatsSinkOptions options) : options_(std::move(options)) {}

  absl::StatusOr<uint64_t> Begin() override;
  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) override;
  absl::Status Flush(absl::Duration timeout) override;
  // Makes the connection if there is none: publisher's thread.
  bool connected() override;
  std::optional<audit::StoredAt> last_stored() override;
  std::vector<audit::Refused> TakeRefused() override;
  absl::StatusOr<bool> Holds(const audit::StoredAt& stored) override;

  // Connects anew before the next message, with what the agent token's and the credentials' files hold then. Any
  // thread.
  void ReadSecretsAgain() { read_again_ = true; }

  bool is_connected() const;
  std::string server() const;  // empty when not connected
  // Why nothing is published: no connection, no stream. Empty when all is well, or before the first try.
  std::string last_error() const;
  uint64_t reconnects() const;
  // Null over core NATS, and before the first connection.
  const nats::JetStreamCounters* jetstream_counters() const;
  // Writes what happened to the connection since the last call to the log.
  void LogEvents();

 private:
  // The connection; made now if there is none and the last try is long enough ago.
  absl::StatusOr<nats::Connection*> Connect();

  const NatsSinkOptions options_;
  mutable absl::Mutex mutex_;
  // Set once, by the publisher's thread.
  std::unique_ptr<nats::Connection> connection_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<nats::JetStreamPublisher> jetstream_;  // null over core NATS; read by others under mutex_
  absl::Status create_error_ ABSL_GUARDED_BY(mutex_);
  std::optional<int64_t> tried_ns_;
  std::atomic<bool> read_again_{false};
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
  std::string stream_error_ ABSL_GUARDED_BY(mutex_);  // of the last Begin()
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_NATS_SINK_H_
