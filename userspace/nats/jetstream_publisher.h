// Publishes to a JetStream stream and knows what of it is stored.
//
//   nats::JetStreamPublisher jetstream(*connection, {});
//   LATTICE_ASSIGN_OR_RETURN(const uint64_t epoch, jetstream.Begin());
//   if (epoch != known_epoch && last.has_value()) … jetstream.Holds(*last) …   // may the server have lost something?
//   LATTICE_RETURN_IF_ERROR(jetstream.Publish("lattice.audit.flow", line, event_id));
//   LATTICE_RETURN_IF_ERROR(jetstream.Flush(absl::Seconds(5)));
//
// Promise: when Flush() is OK, the stream has acknowledged every message whose Publish() was OK since the last OK
// Flush(), but for those that TakeRefused() names. Unavailable, of any call, means that each of those may be stored or
// not: publish them again under the same ids, the stream drops what it has (within its duplicate window). The stream
// is never made here: without it every call is Unavailable and names the remedy.
//
// One thread, but for counters(). The acknowledgements come on the library's threads.
#ifndef USERSPACE_NATS_JETSTREAM_PUBLISHER_H_
#define USERSPACE_NATS_JETSTREAM_PUBLISHER_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {

struct JetStreamOptions {
  std::string stream = "LATTICE_AUDIT";
  // JWT that goes with every message as `Lattice-Agent-Token`; read at every opening. Empty: none.
  std::string agent_token_file;
  // Messages without an acknowledgement; Publish() waits at it. Where a slow network does not bring so many back within
  // ack_timeout it is halved, and grows again while all goes well.
  size_t window = 2048;
  absl::Duration ack_timeout = absl::Seconds(10);  // of each message
  absl::Duration api_timeout = absl::Seconds(2);   // of Begin() and Holds(), each question
  // How often Begin() looks whether the stream is still the same, without any sign that it is not.
  absl::Duration check_interval = absl::Seconds(30);
};

// Where a message is stored.
struct StoredMessage {
  int64_t stream_created_ns = 0;  // a stream that was deleted and made anew is another one
  uint64_t sequence = 0;
  std::string msg_id;
};

// A message the stream will never take.
struct RefusedMessage {
  std::string msg_id;
  std::string reason;
};

// Any thread may read them.
struct JetStreamCounters {
  std::atomic<uint64_t> acked{0};  // duplicates too
  std::atomic<uint64_t> duplicates{0};
  std::atomic<uint64_t> ack_timeouts{0};
  std::atomic<uint64_t> no_stream{0};    // answers that there is no stream
  std::atomic<uint64_t> window_full{0};  // Publish() had to wait
  std::atomic<int64_t> in_flight{0};
};

struct StreamExtent;

class JetStreamPublisher {
 public:
  // `connection` must outlive this. Its own Publish() and Flush() are not to be used then.
  JetStreamPublisher(Connection& connection, JetStreamOptions options);
  // Ends the session that it published on.
  ~JetStreamPublisher();
  JetStreamPublisher(const JetStreamPublisher&) = delete;
  JetStreamPublisher& operator=(const JetStreamPublisher&) = delete;

  // Call it before the first Publish() and after an error. The number changes whenever the stream may have lost what
  // it acknowledged: at a new connection, when its sequence went backwards, after any error. Publish() fails until
  // the next Begin() when that happens in between.
  absl::StatusOr<uint64_t> Begin();

  // InvalidArgument: this message will never pass; the others are not touched.
  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id);
  // DeadlineExceeded: not yet, call again; a message older than ack_timeout makes it Unavailable.
  absl::Status Flush(absl::Duration timeout);

  // Of all that was published since the last Begin() that returned another number, the newest in the stream; nothing
  // before the first OK Flush().
  const std::optional<StoredMessage>& last_stored() const { return last_stored_; }
  // Since the last call. To be asked after an OK Flush().
  std::vector<RefusedMessage> TakeRefused();
  // Whether the stream still has that message, or dropped it for its age or size. After Begin().
  absl::StatusOr<bool> Holds(const StoredMessage& message);

  const JetStreamCounters& counters() const { return *counters_; }

 private:
  class Acks;
  class Lane;
  absl::Status Open();
  void Forget();
  absl::StatusOr<StreamExtent> AskStream();
  absl::Status Explain(const absl::Status& error) const;
  absl::Status Await(size_t at_most, absl::Time deadline);
  absl::Status Fail(const absl::Status& status);

  Connection& connection_;
  const JetStreamOptions options_;
  const std::shared_ptr<JetStreamCounters> counters_;
  size_t window_;               // in force
  uint64_t timeouts_seen_ = 0;  // of counters_
  std::unique_ptr<Lane> lane_;  // of the newest session; null before the first
  bool open_ = false;           // false: Begin() has to open lane_ first
  uint64_t epoch_ = 0;
  std::string subject_, msg_id_;  // with their NUL, reused
  std::optional<StoredMessage> last_stored_;
  std::vector<RefusedMessage> refused_;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_JETSTREAM_PUBLISHER_H_
