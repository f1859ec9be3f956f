// The audit publisher's sink over NATS. The connection is made at the first use, on
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

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/audit/sink.h"
#include "userspace/nats/connection.h"

namespace lattice::dp {

class NatsSink : public audit::MessageSink {
 public:
  explicit NatsSink(nats::Options options) : options_(std::move(options)) {}

  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) override;
  absl::Status Flush(absl::Duration timeout) override;
  // Makes the connection if there is none: publisher's thread.
  bool connected() override;

  bool is_connected() const;
  std::string server() const;      // empty when not connected
  std::string last_error() const;  // empty when connected, or before the first try
  uint64_t reconnects() const;
  // Writes what happened to the connection since the last call to the log.
  void LogEvents();

 private:
  // The connection; made now if there is none and the last try is long enough ago.
  absl::StatusOr<nats::Connection*> Connect();

  const nats::Options options_;
  mutable absl::Mutex mutex_;
  // Set once, by the publisher's thread.
  std::unique_ptr<nats::Connection> connection_ ABSL_GUARDED_BY(mutex_);
  absl::Status create_error_ ABSL_GUARDED_BY(mutex_);
  std::optional<int64_t> tried_ns_;
  std::string last_error_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace lattice::dp

#endif  // USERSPACE_DP_NATS_SINK_H_
