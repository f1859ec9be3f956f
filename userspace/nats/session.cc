#include "userspace/nats/session.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/nats/closures.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

constexpr size_t kMaxEvents = 64;

// The library's callbacks, on its threads. Session numbers are the closures.
void OnClosed(natsConnection*, void* closure) {
  if (const auto mailbox = Closures<Mailbox>::Get().Find(closure)) {
    mailbox->SetClosed(reinterpret_cast<uintptr_t>(closure));
  }
}

// For instance a slow consumer or a permission violation; the connection stays.
void OnError(natsConnection* connection, natsSubscription*, natsStatus status, void* closure) {
  const std::shared_ptr<Mailbox> mailbox = Closures<Mailbox>::Get().Find(closure);
  if (mailbox == nullptr) return;
  const char* detail = nullptr;
  natsConnection_GetLastError(connection, &detail);
  mailbox->Add(Event::Kind::kError,
               absl::StrCat("NATS: ", natsStatus_GetText(status), " ", detail == nullptr ? "" : detail));
}

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
  auto session = std::shared_ptr<Session>(new Session(Closures<Mailbox>::Get().Register(mailbox)));
  void* const closure = Closures<Mailbox>::ToClosure(session->number_);
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_SetClosedCB(raw.get(), OnClosed, closure), "NATS callback"));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsOptions_SetErrorHandler(raw.get(), OnError, closure), "NATS callback"));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_Connect(&session->connection_, raw.get()), "cannot connect to NATS"));
  return session;
}

Session::~Session() {
  Closures<Mailbox>::Get().Unregister(number_);
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

absl::Status ValidateMessage(absl::string_view subject, absl::string_view msg_id) {
  if (subject.empty() || subject.find_first_of(absl::string_view(" \t\r\n\0", 5)) != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("\"", subject, "\" is not a NATS subject"));
  }
  if (msg_id.find_first_of(absl::string_view("\r\n\0", 3)) != absl::string_view::npos) {
    return absl::InvalidArgumentError("a NATS message id holds a line end");
  }
  return absl::OkStatus();
}

}  // namespace lattice::nats
