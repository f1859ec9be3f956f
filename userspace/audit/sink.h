// Where published records go. userspace/dp implements it over NATS; tests implement it in memory.
//
// The promise: after Flush() returned OK, everything published before it has reached
// the server: with JetStream it is stored. DeadlineExceeded of Flush(): the server has not answered yet and the
// messages are still on their way; call Flush() again. Any other error of any call
// means that all messages since the last good Flush() may be lost or not; the publisher then sends
// them again under the same ids. Called from the publisher's thread only; connected()
// also from others.
#ifndef USERSPACE_AUDIT_SINK_H_
#define USERSPACE_AUDIT_SINK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::audit {

// Where a server stored a message. All that was published before it is stored too, as long as it is there.
struct StoredAt {
  int64_t stream_created_ns = 0;  // which stream: one made anew under the same name is another
  uint64_t sequence = 0;
  std::string msg_id;

  bool operator==(const StoredAt&) const = default;
};

// A message the server will never take.
struct Refused {
  std::string msg_id;
  std::string reason;
};

class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // Before the first Publish() of a batch. Another number than before: the server may have lost what it had; ask
  // Holds(). Publish() fails until the next Begin() when that happens in between.
  virtual absl::StatusOr<uint64_t> Begin() { return uint64_t{0}; }
  // Hands one message over; may only queue it. `msg_id` is the eventId (header Nats-Msg-Id).
  // The views are valid during the call only. InvalidArgument: this message will never pass.
  virtual absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) = 0;
  // At most `timeout`, then DeadlineExceeded.
  virtual absl::Status Flush(absl::Duration timeout) = 0;
  virtual bool connected() = 0;

  // After a good Flush(). The newest stored message; nothing from a server that stores nothing.
  virtual std::optional<StoredAt> last_stored() { return std::nullopt; }
  // Those of the flushed messages that the server will never take.
  virtual std::vector<Refused> TakeRefused() { return {}; }
  // After Begin(). False: the server had it and lost it. One that went for its age or size as it should is true.
  virtual absl::StatusOr<bool> Holds(const StoredAt&) { return true; }
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_SINK_H_
