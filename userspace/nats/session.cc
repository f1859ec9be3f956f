// The library may call back after natsConnection_Destroy(). So its closure is a number, looked up in a table of
// what still exists (Callbacks).
#include "userspace/nats/session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

constexpr size_t kMaxEvents = 64;

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

}  // namespace

absl::StatusOr<std::shared_ptr<Mailbox>> Mailbox::Create() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus(errno, "eventfd");
  return std::shared_ptr<Mailbox>(new Mailbox(std::move(fd)));
}

void Mailbox::Add(Event::Kind kind, absl::string_view text) {
  absl::MutexLock lock(&mutex_);
  if (events_.size() == kMaxEvents) events_.pop_front();
  events_.push_back({kind, RedactUrls(text)});
  const uint64_t one = 1;
  // Fails only when the counter is full: then it is readable anyway.
  [[maybe_unused]] const ssize_t n = write(fd_.get(), &one, sizeof(one));
}

std::vector<Event> Mailbox::Take() {
  absl::MutexLock lock(&mutex_);
  uint64_t count;
  // EAGAIN only says that there was none.
  [[maybe_unused]] const ssize_t n = read(fd_.get(), &count, sizeof(count));
  std::vector<Event> events(events_.begin(), events_.end());
  events_.clear();
  return events;
}

void Mailbox::SetClosed(uint64_t session) {
  absl::MutexLock lock(&mutex_);
  last_closed_ = std::max(last_closed_, session);
}

void Mailbox::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

void Mailbox::SetEnded() {
  absl::MutexLock lock(&mutex_);
  ended_ = true;
}

bool Mailbox::AwaitEnded(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&ended_), timeout);
}

bool Mailbox::AwaitClosed(uint64_t session) {
  const auto woken = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || last_closed_ >= session; };
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&woken));
  return !stopping_;
}

bool Mailbox::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  return !stopping_;
}

absl::StatusOr<std::shared_ptr<Session>> Session::Open(const Options& options,
                                                       const std::shared_ptr<Mailbox>& mailbox) {
  LATTICE_ASSIGN_OR_RETURN(const NatsOptionsPtr raw, MakeOptions(options));
  auto session = std::shared_ptr<Session>(new Session(Callbacks::Get().Register(mailbox)));
  void* closure = reinterpret_cast<void*>(static_cast<uintptr_t>(session->number_));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_SetClosedCB(raw.get(), Callbacks::OnClosed, closure), "NATS callback"));
  LATTICE_RETURN_IF_ERROR(
      ToStatus(natsOptions_SetErrorHandler(raw.get(), Callbacks::OnError, closure), "NATS callback"));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_Connect(&session->connection_, raw.get()), "cannot connect to NATS"));
  return session;
}

Session::~Session() {
  Callbacks::Get().Unregister(number_);
  natsConnection_Destroy(connection_);
}

std::string Session::server() const {
  char url[512];
  return natsConnection_GetConnectedUrl(connection_, url, sizeof(url)) == NATS_OK ? RedactUrls(url) : "";
}

bool Session::refused() const {
  const char* detail = nullptr;
  return natsConnection_GetLastError(connection_, &detail) == NATS_NOT_PERMITTED;
}

std::string Session::reason() const {
  const char* detail = nullptr;
  const natsStatus status = natsConnection_GetLastError(connection_, &detail);
  if (status == NATS_OK) return "closed by the server";
  const absl::string_view text = natsStatus_GetText(status);
  if (detail == nullptr || *detail == '\0' || text == detail) return std::string(text);
  return RedactUrls(absl::StrCat(text, ": ", detail));
}

}  // namespace lattice::nats
