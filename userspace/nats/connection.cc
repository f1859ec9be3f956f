// Theory of operation.
//
// The library can reconnect by itself, but then it keeps messages published meanwhile in a buffer, sends them to
// the next server, and lets a flush there succeed although those written to the lost socket are gone. It also gives up
// for ever when a server refuses the credentials twice. So its reconnection is off: a lost connection is over, and
// the keeper thread opens another, a new Session. Publish() remembers the Session that has unflushed messages, and
// Flush() asks that one. If it is closed, they may be lost, and Flush() says so.
#include "userspace/nats/connection.h"

#include <nats/nats.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/memory/memory.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "userspace/base/status.h"
#include "userspace/nats/options.h"
#include "userspace/nats/session.h"

namespace lattice::nats {

class Connection::Impl {
 public:
  Impl(const Options& options, std::shared_ptr<Mailbox> mailbox) : options_(options), mailbox_(std::move(mailbox)) {}

  // `self` is this: the keeper is an owner too, since it may outlive the Connection.
  void Start(std::shared_ptr<Impl> self) {
    keeper_ = std::thread([self = std::move(self)] { self->Keep(); });
  }
  void Stop();

  absl::Status Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id);
  absl::Status Flush(absl::Duration timeout);

  // Not by way of current(): the last owner of a session waits for the library to end it.
  bool connected() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return current_ != nullptr;
  }
  std::string server() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return server_;
  }
  std::shared_ptr<Session> current() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return current_;
  }
  std::shared_ptr<Session> AwaitSession(uint64_t after, absl::Duration timeout) const ABSL_LOCKS_EXCLUDED(mutex_) {
    const auto there = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopped_ || (current_ != nullptr && current_->number() > after);
    };
    absl::MutexLock lock(&mutex_);
    const bool found = mutex_.AwaitWithTimeout(absl::Condition(&there), timeout);
    return found && !stopped_ ? current_ : nullptr;
  }
  uint64_t reconnects() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return opened_ > 0 ? opened_ - 1 : 0;
  }
  Mailbox& mailbox() const { return *mailbox_; }
  absl::Status NotConnected() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Keep();
  void KeepUntilStopped();
  void Connected(std::shared_ptr<Session> session, const std::string& server) ABSL_LOCKS_EXCLUDED(mutex_);
  void Disconnected(absl::string_view trouble) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Send(natsConnection* connection, absl::string_view payload, absl::string_view msg_id);

  const Options options_;
  const std::shared_ptr<Mailbox> mailbox_;

  // Of the publishing thread.
  std::shared_ptr<Session> unflushed_;
  std::string subject_, msg_id_;  // with their NUL, reused

  mutable absl::Mutex mutex_;
  std::shared_ptr<Session> current_ ABSL_GUARDED_BY(mutex_);
  std::string server_ ABSL_GUARDED_BY(mutex_);  // of current_
  std::string trouble_ ABSL_GUARDED_BY(mutex_) = "not yet connected";
  uint64_t opened_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread keeper_;
};

// The library waits for a server's first words without a limit. A server that accepts and then stands still, or
// stops inside a TLS handshake, must not hold up our end: then the keeper is left to itself.
void Connection::Impl::Stop() {
  mailbox_->Stop();
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  const absl::Duration patience = options_.connect_timeout * static_cast<int64_t>(options_.urls.size());
  if (mailbox_->AwaitEnded(patience)) {
    keeper_.join();
  } else {
    keeper_.detach();
  }
}

void Connection::Impl::Connected(std::shared_ptr<Session> session, const std::string& server) {
  absl::MutexLock lock(&mutex_);
  ++opened_;
  current_ = std::move(session);
  server_ = server;
  trouble_.clear();
}

void Connection::Impl::Disconnected(absl::string_view trouble) {
  std::shared_ptr<Session> ended;  // before the lock: it goes after it
  absl::MutexLock lock(&mutex_);
  ended.swap(current_);
  server_.clear();
  trouble_ = std::string(trouble);
}

void Connection::Impl::Keep() {
  KeepUntilStopped();
  Disconnected("stopped");  // here and not in the last owner: this thread may wait for the library
  mailbox_->SetEnded();
}

void Connection::Impl::KeepUntilStopped() {
  absl::BitGen random;
  std::string last_error;
  while (true) {
    absl::StatusOr<std::shared_ptr<Session>> session = Session::Open(options_, mailbox_);
    if (session.ok()) {
      last_error.clear();
      const std::string server = (*session)->server();
      Connected(*session, server);
      mailbox_->Add(Event::Kind::kConnected, absl::StrCat("connected to NATS at ", server));
      if (!mailbox_->AwaitClosed((*session)->number())) return;
      const std::string reason = absl::StrCat("NATS connection lost: ", (*session)->reason());
      Disconnected(reason);
      mailbox_->Add(Event::Kind::kDisconnected, reason);
    } else {
      const std::string error(session.status().message());
      Disconnected(error);
      // The same error again at every attempt tells nothing new.
      if (error != last_error) mailbox_->Add(Event::Kind::kError, error);
      last_error = error;
    }
    // All nodes lose a server in the same moment; they are not to come back in the same moment.
    const absl::Duration jitter = options_.reconnect_wait / 2 * absl::Uniform(random, 0.0, 1.0);
    if (!mailbox_->Sleep(options_.reconnect_wait + jitter)) return;
  }
}

absl::Status Connection::Impl::NotConnected() const {
  absl::MutexLock lock(&mutex_);
  return absl::UnavailableError(
      absl::StrCat("not connected to NATS: ", trouble_.empty() ? "the connection is lost" : trouble_));
}

absl::Status Connection::Impl::Send(natsConnection* connection, absl::string_view payload, absl::string_view msg_id) {
  const int size = static_cast<int>(payload.size());
  if (msg_id.empty()) {
    return ToStatus(natsConnection_Publish(connection, subject_.c_str(), payload.data(), size), "publishing to NATS");
  }
  natsMsg* message = nullptr;
  natsStatus status = natsMsg_Create(&message, subject_.c_str(), nullptr, payload.data(), size);
  msg_id_.assign(msg_id.data(), msg_id.size());
  if (status == NATS_OK) status = natsMsgHeader_Set(message, "Nats-Msg-Id", msg_id_.c_str());
  if (status == NATS_OK) status = natsConnection_PublishMsg(connection, message);
  natsMsg_Destroy(message);
  return ToStatus(status, "publishing to NATS");
}

absl::Status Connection::Impl::Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) {
  LATTICE_RETURN_IF_ERROR(ValidateMessage(subject, msg_id));
  const std::shared_ptr<Session> session = current();
  // Once told, the caller begins again after its last OK Flush(), so nothing is unflushed any more.
  const std::shared_ptr<Session> before = std::exchange(unflushed_, nullptr);
  if (session == nullptr || !session->connected()) return NotConnected();
  // A message on another session would hide from Flush() that those on this one may be lost.
  if (before != nullptr && before != session) {
    return absl::UnavailableError("reconnected to NATS since the last flush");
  }
  subject_.assign(subject.data(), subject.size());
  const absl::Status sent = Send(session->get(), payload, msg_id);
  if (sent.ok() || absl::IsInvalidArgument(sent)) {
    unflushed_ = sent.ok() ? session : before;
    return sent;
  }
  // Perhaps a part was written; what follows it would be nonsense to the server.
  session->Close();
  return absl::UnavailableError(sent.message());
}

absl::Status Connection::Impl::Flush(absl::Duration timeout) {
  if (unflushed_ == nullptr) return absl::OkStatus();
  const int64_t timeout_ms = std::max<int64_t>(absl::ToInt64Milliseconds(timeout), 1);
  const absl::Status flushed = ToStatus(natsConnection_FlushTimeout(unflushed_->get(), timeout_ms), "flushing to NATS");
  if (absl::IsDeadlineExceeded(flushed) && unflushed_->connected()) return flushed;
  const std::shared_ptr<Session> session = std::exchange(unflushed_, nullptr);
  if (!flushed.ok()) return absl::UnavailableError(flushed.message());
  // The refusal came before the answer to the flush. The library keeps it for as long as the session is, and a
  // server that was told otherwise applies that to new connections: so this one ends.
  if (!session->refused()) return absl::OkStatus();
  const std::string reason = session->reason();
  session->Close();
  return absl::UnavailableError(absl::StrCat("the NATS server refuses what is published: ", reason));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Create(const Options& options) {
  LATTICE_RETURN_IF_ERROR(Validate(options));
  // Tells the operator of a wrong path now and not at the first connection.
  LATTICE_RETURN_IF_ERROR(MakeOptions(options).status());
  LATTICE_ASSIGN_OR_RETURN(std::shared_ptr<Mailbox> mailbox, Mailbox::Create());
  auto impl = std::make_shared<Impl>(options, std::move(mailbox));
  impl->Start(impl);
  return absl::WrapUnique(new Connection(std::move(impl)));
}

Connection::Connection(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

Connection::~Connection() {
  impl_->Stop();
}

absl::Status Connection::Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) {
  return impl_->Publish(subject, payload, msg_id);
}

absl::Status Connection::Flush(absl::Duration timeout) {
  return impl_->Flush(timeout);
}

bool Connection::connected() const {
  return impl_->connected();
}

std::string Connection::server() const {
  return impl_->server();
}

uint64_t Connection::reconnects() const {
  return impl_->reconnects();
}

void Connection::Renew() {
  if (const std::shared_ptr<Session> now = session(); now != nullptr) now->Close();
}

std::shared_ptr<Session> Connection::session() const {
  return impl_->current();
}

std::shared_ptr<Session> Connection::AwaitSession(uint64_t after, absl::Duration timeout) const {
  return impl_->AwaitSession(after, timeout);
}

absl::Status Connection::NotConnected() const {
  return impl_->NotConnected();
}

void Connection::AddEvent(Event::Kind kind, absl::string_view text) const {
  impl_->mailbox().Add(kind, text);
}

int Connection::event_fd() const {
  return impl_->mailbox().fd();
}

std::vector<Event> Connection::TakeEvents() {
  return impl_->mailbox().Take();
}

}  // namespace lattice::nats
