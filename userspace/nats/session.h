// What a connection is made of: a Session, which is one natsConnection from its opening to its end, and the Mailbox
// that its callbacks report to. Private to this module: jetstream_publisher, pull_consumer and service work on the
// Session that Connection::session() gives them.
//
//   std::shared_ptr<Session> session = connection.session();   // null: not connected
//   js_Publish(…, session->get(), …)                           // alive as long as `session`
//   connection.AwaitSession(session->number(), timeout)        // the next one, once it begins
//
// A session that ended never comes back: the next one has another, larger number. Any thread; but who drops the last
// reference of a session waits for the library to end it.
#ifndef USERSPACE_NATS_SESSION_H_
#define USERSPACE_NATS_SESSION_H_

#include <nats/nats.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/unique_fd.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {

// What outlives a Connection while a callback is on its way. Any thread.
class Mailbox {
 public:
  static absl::StatusOr<std::shared_ptr<Mailbox>> Create();

  // For Connection::TakeEvents(); the text is redacted here.
  void Add(Event::Kind kind, absl::string_view text) ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<Event> Take() ABSL_LOCKS_EXCLUDED(mutex_);
  int fd() const { return fd_.get(); }

  void SetClosed(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex_);

  // Of the keeper.
  void SetEnded() ABSL_LOCKS_EXCLUDED(mutex_);
  bool AwaitEnded(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_);

  // Until `session` is closed. False when stopping.
  bool AwaitClosed(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_);
  // False when stopping.
  bool Sleep(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit Mailbox(UniqueFd fd) : fd_(std::move(fd)) {}

  const UniqueFd fd_;
  absl::Mutex mutex_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_closed_ ABSL_GUARDED_BY(mutex_) = 0;  // sessions are opened one after the other
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

class Session {
 public:
  static absl::StatusOr<std::shared_ptr<Session>> Open(const Options& options, const std::shared_ptr<Mailbox>& mailbox);
  ~Session();

  natsConnection* get() const { return connection_; }
  uint64_t number() const { return number_; }
  // Ends it; the keeper of the Connection opens another.
  void Close() const { natsConnection_Close(connection_); }

  // These ask the library, which may hold its lock for as long as a write to the socket takes.
  bool connected() const { return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED; }
  std::string server() const;
  // A message of this session was refused: the server tells it besides, and answers a flush as if nothing were.
  bool refused() const;
  // Why it ended.
  std::string reason() const;

 private:
  explicit Session(uint64_t number) : number_(number) {}
  const uint64_t number_;
  natsConnection* connection_ = nullptr;
};

// The library adds both to the protocol as they are: InvalidArgument for what would break it.
absl::Status ValidateMessage(absl::string_view subject, absl::string_view msg_id);

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_SESSION_H_
