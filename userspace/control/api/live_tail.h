// The live tail as server-sent events: each client reads from the table, in the order in which records came in, from
// its own place. So every replica shows the records of all, and Last-Event-ID goes on where the client was.
//
// Promise: bounded memory; a client that takes nothing for `patience` is cut (with `event: cut`, should it ever read
// on) and counted. The loop's thread; the reading on a worker's.
#ifndef USERSPACE_CONTROL_API_LIVE_TAIL_H_
#define USERSPACE_CONTROL_API_LIVE_TAIL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/control/api/workers.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/http/message.h"

namespace lattice::control {

struct LiveTailOptions {
  absl::Duration poll = absl::Milliseconds(250);
  absl::Duration heartbeat = absl::Seconds(15);
  absl::Duration patience = absl::Seconds(10);
  size_t max_clients = 100;
  size_t rows = 500;  // of one reading
  // How long a record may take from its id to its commit where several replicas write; that much the tail is behind.
  absl::Duration settle = absl::ZeroDuration();
};

class LiveTail {
 public:
  // All must outlive the loop's last turn.
  LiveTail(EventLoop& loop, Workers& workers, FlowStore& store, LiveTailOptions options = {});
  ~LiveTail();

  // `last_event_id`: the eventId after which to begin; empty, or one that is not there any more: now.
  // ResourceExhausted: too many clients.
  absl::StatusOr<http::Response> Open(const FlowFilter& filter, const std::string& last_event_id);

  size_t clients() const { return clients_.size(); }
  uint64_t cut() const { return cut_; }

 private:
  class Client;
  void Turn();
  void Read(const std::shared_ptr<Client>& client);

  EventLoop& loop_;
  Workers& workers_;
  FlowStore& store_;
  const LiveTailOptions options_;
  const EventLoop::TimerId timer_;
  uint64_t next_ = 0;
  std::map<uint64_t, std::shared_ptr<Client>> clients_;
  uint64_t cut_ = 0;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_LIVE_TAIL_H_
