// One connection to a NATS cluster.
//
//   LATTICE_ASSIGN_OR_RETURN(auto nats, nats::Connection::Create({.urls = {"nats://127.0.0.1:4222"}}));
//   LATTICE_RETURN_IF_ERROR(nats->Publish("lattice.audit.flow", line, event_id));
//   LATTICE_RETURN_IF_ERROR(nats->Flush(absl::Seconds(5)));   // now the server has them all
//
// Promise: when Flush() is OK, the server has received every message whose Publish() was OK since the last OK
// Flush(). Unavailable, of either, means that all of those may be lost and are to be published again (at least
// once): there is no connection, or it was lost and made anew in between, or the server does not permit us to publish
// there, which ends the connection. Nothing is kept for later while there is none. It reconnects for ever, with jitter,
// also after the server refused the credentials, and reads the credential files again for that. No password, token or
// user part of an URL is in any error, event or log.
//
// Threads: Publish, Flush and the destructor on one thread; the rest on any. A thread of its own opens connections,
// because that blocks. The library's callbacks run on the library's threads and only wake that one.
#ifndef USERSPACE_NATS_CONNECTION_H_
#define USERSPACE_NATS_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace lattice::nats {

struct Options {
  // "nats://host:4222", "tls://host:4222", "host:4222"; "user:password@" before the host is possible, but
  // shows in `ps`. Tried in random order.
  std::vector<std::string> urls;
  std::string name = "lattice";  // what the server's connection list shows

  // What begins the subjects that answers come on; empty: "_INBOX". Who may listen there sees all that is asked for.
  std::string inbox_prefix;

  // At most one of the three; each file is read at every opening.
  std::string credentials_file;  // JWT and NKey seed, as `nsc` writes it
  std::string user;              // with password_file
  std::string password_file;
  std::string token_file;
  // An agent's token: without any of the above, and without a user in the URLs, the NATS user that it names logs in
  // (agent_login.h) and inbox_prefix is that user's. A token that names none changes nothing. The text, or a file that
  // is read at every opening.
  std::string agent_token;
  std::string agent_token_file;

  // Any of these, or an URL with tls://, means that only TLS is spoken. No ca_file: the system's authorities.
  // The server's certificate must be for the host name in the URL.
  std::string tls_ca_file;
  std::string tls_cert_file;  // with tls_key_file: the client's certificate
  std::string tls_key_file;

  // Each URL, each attempt, until TCP is connected; the library sets no limit to what follows.
  absl::Duration connect_timeout = absl::Seconds(2);
  absl::Duration reconnect_wait = absl::Seconds(1);  // between attempts; up to half of it is added at random
  absl::Duration write_timeout = absl::Seconds(5);   // a server that does not read: Publish fails after this
  absl::Duration ping_interval = absl::Seconds(20);  // two unanswered: the connection is given up and made anew
};

// What can be told without a server, a file or a thread: InvalidArgument naming the option.
absl::Status Validate(const Options& options);

// For the log: what happened to the connection. The text is redacted.
struct Event {
  enum class Kind { kConnected, kDisconnected, kError };
  Kind kind;
  std::string text;
};

class Session;

class Connection {
 public:
  // InvalidArgument for options that can never work (names the option and its value), an error of a file that
  // cannot be read. Does not wait for the server: one that is down or refuses us is no error, see connected()
  // and TakeEvents().
  static absl::StatusOr<std::unique_ptr<Connection>> Create(const Options& options);
  // What was not flushed may be lost. Blocks for at most connect_timeout per URL when just connecting; a server that
  // stands still in the middle of that keeps a thread of ours, and nothing else, until it answers or goes.
  ~Connection();

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Queues one message for the server; `msg_id`, if not empty, is its Nats-Msg-Id header, by which JetStream drops
  // duplicates. Unavailable: not connected (with the last reason), or the server did not read for
  // write_timeout. InvalidArgument: the payload is over the server's limit or the subject is malformed; the
  // same message will never pass.
  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id = {});

  // OK: the server has received all of them, see the head comment; also when there is none. DeadlineExceeded after
  // `timeout`: not yet, call again.
  absl::Status Flush(absl::Duration timeout);

  // Ends the connection; the next one is made at once and by what the credential files hold then. On the thread of
  // Publish.
  void Renew();

  // This and the next as of the last opening or end of a connection. They never wait for the library or a socket.
  bool connected() const;
  // "nats://host:port" of the server, redacted; empty when not connected.
  std::string server() const;
  // Times a lost connection was made again.
  uint64_t reconnects() const;

  // Readable when there are events (an eventfd, for EventLoop::AddFd); TakeEvents() empties it. At most 64 events
  // wait; then the oldest goes.
  int event_fd() const;
  std::vector<Event> TakeEvents();

  // For the other files of this module (session.h). The session of now; null when not connected.
  std::shared_ptr<Session> session() const;
  // Waits for a session with a larger number than `after`; 0: for any. Null after `timeout`.
  std::shared_ptr<Session> AwaitSession(uint64_t after, absl::Duration timeout) const;
  // Unavailable, with the last reason.
  absl::Status NotConnected() const;
  // Something for TakeEvents().
  void AddEvent(Event::Kind kind, absl::string_view text) const;

 private:
  class Impl;
  explicit Connection(std::shared_ptr<Impl> impl);
  const std::shared_ptr<Impl> impl_;
};

// `text` with the user part of every URL in it taken out: "nats://me:secret@host" -> "nats://host".
std::string RedactUrls(absl::string_view text);

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_CONNECTION_H_
