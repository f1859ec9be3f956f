// Where published records go. userspace/nats implements it over a NATS connection;
// tests implement it in memory.
//
// The promise: after Flush() returned OK, everything published before it has reached
// the server. DeadlineExceeded of Flush(): the server has not answered yet and the
// messages are still on their way; call Flush() again. Any other error of either call
// means that all messages since the last good Flush() may be lost; the publisher then sends
// them again under the same ids. Called from the publisher's thread only; connected()
// also from others.
#ifndef USERSPACE_AUDIT_SINK_H_
#define USERSPACE_AUDIT_SINK_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::audit {

class MessageSink {
 public:
  virtual ~MessageSink() = default;
  // Hands one message over; may only queue it. `msg_id` is the eventId (header Nats-Msg-Id).
  // The views are valid during the call only.
  virtual absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) = 0;
  // At most `timeout`, then DeadlineExceeded.
  virtual absl::Status Flush(absl::Duration timeout) = 0;
  virtual bool connected() = 0;
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_SINK_H_
