// Theory of operation.
//
// The library can reconnect by itself, but then it keeps messages published meanwhile in a buffer, sends them to
// the next server, and lets a flush there succeed although those written to the lost socket are gone. It also gives up
// for ever when a server refuses the credentials twice. So its reconnection is off: a lost connection is over, and
// the keeper thread opens another, a new Session. Publish() remembers the Session that has unflushed messages, and
// Flush() asks that one. If it is closed, they may be lost, and Flush() says so.
//
// The library may call back after natsConnection_Destroy(). So its closure is a number, looked up in a table of
// what still exists (Callbacks).
#include "userspace/nats/connection.h"

#include <nats/nats.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <deque>
#include <map>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/memory/memory.h"
#include "absl/random/random.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

constexpr size_t kMaxEvents = 64;

// What outlives a Connection while a callback is on its way. Any thread.
class Mailbox {
 public:
  static absl::StatusOr<std::shared_ptr<Mailbox>> Create() {
    UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!fd.ok()) return ErrnoStatus(errno, "eventfd");
    return std::shared_ptr<Mailbox>(new Mailbox(std::move(fd)));
  }

  void Add(Event::Kind kind, absl::string_view text) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (events_.size() == kMaxEvents) events_.pop_front();
    events_.push_back({kind, RedactUrls(text)});
    const uint64_t one = 1;
    // Fails only when the counter is full: then it is readable anyway.
    [[maybe_unused]] const ssize_t n = write(fd_.get(), &one, sizeof(one));
  }

  std::vector<Event> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    uint64_t count;
    // EAGAIN only says that there was none.
    [[maybe_unused]] const ssize_t n = read(fd_.get(), &count, sizeof(count));
    std::vector<Event> events(events_.begin(), events_.end());
    events_.clear();
    return events;
  }

  void SetClosed(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    last_closed_ = std::max(last_closed_, session);
  }

  void Stop() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }

  // Of the keeper.
  void SetEnded() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    ended_ = true;
  }
  bool AwaitEnded(absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return mutex_.AwaitWithTimeout(absl::Condition(&ended_), timeout);
  }

  // Until `session` is closed. False when stopping.
  bool AwaitClosed(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_) {
    const auto woken = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || last_closed_ >= session; };
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&woken));
    return !stopping_;
  }

  // False when stopping.
  bool Sleep(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
    return !stopping_;
  }

  int fd() const { return fd_.get(); }

 private:
  explicit Mailbox(UniqueFd fd) : fd_(std::move(fd)) {}

  const UniqueFd fd_;
  absl::Mutex mutex_;
  std::deque<Event> events_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_closed_ ABSL_GUARDED_BY(mutex_) = 0;  // sessions are opened one after the other
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// Session number -> the mailbox that wants to hear of it. Any thread.
class Callbacks {
 public:
  static Callbacks& Get() {
    static Callbacks* const callbacks = new Callbacks;  // The library's threads run until the process ends.
    return *callbacks;
  }

  uint64_t Register(std::weak_ptr<Mailbox> mailbox) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    mailboxes_[++last_] = std::move(mailbox);
    return last_;
  }

  void Unregister(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    mailboxes_.erase(session);
  }

  // The library's callback, on one of its threads.
  static void OnClosed(natsConnection*, void* closure) {
    const uint64_t session = reinterpret_cast<uintptr_t>(closure);
    if (const std::shared_ptr<Mailbox> mailbox = Get().Find(session)) mailbox->SetClosed(session);
  }

  // For instance a slow consumer or a permission violation; the connection stays.
  static void OnError(natsConnection* connection, natsSubscription*, natsStatus status, void* closure) {
    const std::shared_ptr<Mailbox> mailbox = Get().Find(reinterpret_cast<uintptr_t>(closure));
    if (mailbox == nullptr) return;
    const char* detail = nullptr;
    natsConnection_GetLastError(connection, &detail);
    mailbox->Add(Event::Kind::kError,
                 absl::StrCat("NATS: ", natsStatus_GetText(status), " ", detail == nullptr ? "" : detail));
  }

 private:
  std::shared_ptr<Mailbox> Find(uint64_t session) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    const auto it = mailboxes_.find(session);
    return it == mailboxes_.end() ? nullptr : it->second.lock();
  }

  absl::Mutex mutex_;
  std::map<uint64_t, std::weak_ptr<Mailbox>> mailboxes_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_ ABSL_GUARDED_BY(mutex_) = 0;
};

// One connection from its opening to its end.
class Session {
 public:
  static absl::StatusOr<std::shared_ptr<Session>> Open(const Options& options,
                                                       const std::shared_ptr<Mailbox>& mailbox) {
    LATTICE_ASSIGN_OR_RETURN(const NatsOptionsPtr raw, MakeOptions(options));
    auto session = std::shared_ptr<Session>(new Session(Callbacks::Get().Register(mailbox)));
    void* closure = reinterpret_cast<void*>(static_cast<uintptr_t>(session->number_));
    LATTICE_RETURN_IF_ERROR(
        ToStatus(natsOptions_SetClosedCB(raw.get(), Callbacks::OnClosed, closure), "NATS callback"));
    LATTICE_RETURN_IF_ERROR(
        ToStatus(natsOptions_SetErrorHandler(raw.get(), Callbacks::OnError, closure), "NATS callback"));
    LATTICE_RETURN_IF_ERROR(
        ToStatus(natsConnection_Connect(&session->connection_, raw.get()), "cannot connect to NATS"));
    return session;
  }
  ~Session() {
    Callbacks::Get().Unregister(number_);
    natsConnection_Destroy(connection_);
  }

  natsConnection* get() const { return connection_; }
  uint64_t number() const { return number_; }
  // These ask the library, which may hold its lock for as long as a write to the socket takes.
  bool connected() const { return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED; }
  std::string server() const {
    char url[512];
    return natsConnection_GetConnectedUrl(connection_, url, sizeof(url)) == NATS_OK ? RedactUrls(url) : "";
  }
  // A message of this session was refused: the server tells it besides, and answers a flush as if nothing were.
  bool refused() const {
    const char* detail = nullptr;
    return natsConnection_GetLastError(connection_, &detail) == NATS_NOT_PERMITTED;
  }

  // Why it ended.
  std::string reason() const {
    const char* detail = nullptr;
    const natsStatus status = natsConnection_GetLastError(connection_, &detail);
    if (status == NATS_OK) return "closed by the server";
    const absl::string_view text = natsStatus_GetText(status);
    if (detail == nullptr || *detail == '\0' || text == detail) return std::string(text);
    return RedactUrls(absl::StrCat(text, ": ", detail));
  }

 private:
  explicit Session(uint64_t number) : number_(number) {}
  const uint64_t number_;
  natsConnection* connection_ = nullptr;
};

}  // namespace

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
  uint64_t reconnects() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return opened_ > 0 ? opened_ - 1 : 0;
  }
  Mailbox& mailbox() const { return *mailbox_; }

 private:
  void Keep();
  void KeepUntilStopped();
  void Connected(std::shared_ptr<Session> session, const std::string& server) ABSL_LOCKS_EXCLUDED(mutex_);
  void Disconnected(absl::string_view trouble) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status NotConnected() const ABSL_LOCKS_EXCLUDED(mutex_);
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

  std::thread keeper_;
};

// The library waits for a server's first words without a limit. A server that accepts and then stands still, or
// stops inside a TLS handshake, must not hold up our end: then the keeper is left to itself.
void Connection::Impl::Stop() {
  mailbox_->Stop();
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
  // The library adds these to the protocol as they are.
  if (subject.empty() || subject.find_first_of(absl::string_view(" \t\r\n\0", 5)) != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", subject, "\" is not a NATS subject"));
  }
  if (msg_id.find_first_of(absl::string_view("\r\n\0", 3)) != absl::string_view::npos) {
    return absl::InvalidArgumentError("a NATS message id holds a line end");
  }
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
  natsConnection_Close(session->get());
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
  natsConnection_Close(session->get());
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

int Connection::event_fd() const {
  return impl_->mailbox().fd();
}

std::vector<Event> Connection::TakeEvents() {
  return impl_->mailbox().Take();
}

}  // namespace lattice::nats
