// Reads a JetStream stream through a durable pull consumer, which many readers may share: each message goes to one of
// them, and to another one when it is not acknowledged in time.
//
//   LATTICE_ASSIGN_OR_RETURN(auto consumer, PullConsumer::Open(connection, stream, durable));
//   LATTICE_ASSIGN_OR_RETURN(std::vector<Message> batch, consumer->Fetch(absl::Milliseconds(50)));
//   … store it …
//   LATTICE_RETURN_IF_ERROR(consumer->Acknowledge(batch));
//
// Promise: a message that was not acknowledged comes again. After an error of any call the object is of no more use:
// open another. It has a connection of its own. One thread.
#ifndef USERSPACE_NATS_PULL_CONSUMER_H_
#define USERSPACE_NATS_PULL_CONSUMER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/nats/connection.h"
#include "userspace/nats/stream.h"

struct __natsMsg;
struct __natsSubscription;

namespace lattice::nats {

// A message as the stream gave it. The views live as long as it does.
class Message {
 public:
  explicit Message(__natsMsg* raw);
  Message(Message&& other) noexcept;
  Message& operator=(Message&& other) noexcept;
  ~Message();

  absl::string_view subject() const;
  absl::string_view payload() const;
  // Empty if there is none of that name (case matters).
  absl::string_view header(const char* name) const;
  uint64_t stream_seq() const { return stream_seq_; }
  int64_t time_ns() const { return time_ns_; }  // by the server's clock
  bool redelivered() const { return redelivered_; }
  __natsMsg* raw() const { return raw_; }

 private:
  __natsMsg* raw_;
  uint64_t stream_seq_ = 0;
  int64_t time_ns_ = 0;
  bool redelivered_ = false;
};

struct Link;

class PullConsumer {
 public:
  // Connects, makes the stream and the consumer where they are missing and brings their limits up to date. A consumer
  // that is ahead of its stream, which went back after a crash of the server (nats-server #5412), would wait until the
  // stream has caught up: it is made anew and begins at the oldest message. Blocks; Unavailable when there is no server
  // or JetStream does not answer.
  static absl::StatusOr<std::unique_ptr<PullConsumer>> Open(const Options& connection, const StreamConfig& stream,
                                                            const ConsumerConfig& consumer);
  ~PullConsumer();

  // What comes within `wait`, at most max_ack_pending; empty when nothing came.
  absl::StatusOr<std::vector<Message>> Fetch(absl::Duration wait);
  // OK: on their way to the server. One that gets lost there makes its message come again.
  absl::Status Acknowledge(const std::vector<Message>& messages);
  // They take longer: their ack_wait begins anew.
  absl::Status InProgress(const std::vector<Message>& messages);

  absl::StatusOr<StreamState> State();
  // Whether the consumer was made anew because the stream went back.
  bool rewound() const { return rewound_; }

 private:
  PullConsumer(std::unique_ptr<Link> link, StreamConfig stream, ConsumerConfig consumer);
  absl::Status EnsureStream();
  absl::Status EnsureConsumer();
  absl::Status Subscribe();
  int FetchMessages() const;

  const std::unique_ptr<Link> link_;
  __natsSubscription* subscription_ = nullptr;  // of link_
  const StreamConfig stream_;
  const ConsumerConfig consumer_;
  bool rewound_ = false;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_PULL_CONSUMER_H_
