#include "userspace/nats/requester.h"

#include <nats/nats.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdint>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/nats/link.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

constexpr int kTries = 5;
constexpr absl::Duration kFirstWait = absl::Milliseconds(100);

struct MessageDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using MessagePtr = std::unique_ptr<natsMsg, MessageDeleter>;

void Poke(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
  natsMsg_Destroy(message);
  const uint64_t one = 1;
  // Fails only when the counter is full: then it is readable anyway.
  [[maybe_unused]] const ssize_t n = write(static_cast<int>(reinterpret_cast<intptr_t>(closure)), &one, sizeof(one));
}

absl::StatusOr<std::string> ReadAnswer(natsMsg* message) {
  const char* error = nullptr;
  if (natsMsgHeader_Get(message, "error", &error) == NATS_OK && error != nullptr) {
    return absl::FailedPreconditionError(error);
  }
  return std::string(natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message)));
}

}  // namespace

Requester::Requester(const Options& options, std::vector<std::string> subjects)
    : options_(options), subjects_(std::move(subjects)), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}
Requester::~Requester() = default;

absl::StatusOr<std::unique_ptr<Requester>> Requester::Create(const Options& options,
                                                             std::vector<std::string> subjects) {
  LATTICE_RETURN_IF_ERROR(Validate(options));
  auto requester = absl::WrapUnique(new Requester(options, std::move(subjects)));
  if (requester->event_fd_ < 0) return ErrnoStatus(errno, "eventfd");
  return requester;
}

absl::Status Requester::EnsureConnected() {
  if (link_ != nullptr && natsConnection_Status(link_->connection) == NATS_CONN_STATUS_CONNECTED) {
    return absl::OkStatus();
  }
  link_ = nullptr;
  auto link = std::make_unique<Link>();
  LATTICE_ASSIGN_OR_RETURN(const NatsOptionsPtr raw, MakeOptions(options_));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_Connect(&link->connection, raw.get()),
                                   absl::StrCat("cannot connect to NATS at ", RedactUrls(options_.urls[0]))));
  void* closure = reinterpret_cast<void*>(static_cast<intptr_t>(event_fd_));
  for (const std::string& subject : subjects_) {
    natsSubscription* subscription = nullptr;
    LATTICE_RETURN_IF_ERROR(
        ToStatus(natsConnection_Subscribe(&subscription, link->connection, subject.c_str(), Poke, closure),
                 absl::StrCat("subscribing to ", subject)));
    link->subscriptions.push_back(subscription);
  }
  link_ = std::move(link);
  return absl::OkStatus();
}

absl::StatusOr<std::string> Requester::Request(const std::string& subject, absl::string_view body,
                                               absl::Duration timeout) {
  absl::Duration wait = kFirstWait;
  for (int i = 0;; ++i, wait *= 2) {
    LATTICE_RETURN_IF_ERROR(EnsureConnected());
    natsMsg* raw = nullptr;
    const natsStatus status = natsConnection_Request(&raw, link_->connection, subject.c_str(), body.data(),
                                                     static_cast<int>(body.size()), absl::ToInt64Milliseconds(timeout));
    const MessagePtr message(raw);
    if (status == NATS_OK) return ReadAnswer(message.get());
    if (status != NATS_NO_RESPONDERS) return ToStatus(status, subject);
    if (i + 1 == kTries) {
      return absl::UnavailableError(absl::StrCat("nobody answers on ", subject, "; is latticed running at that NATS?"));
    }
    absl::SleepFor(wait);
  }
}

bool Requester::TakePoke() {
  uint64_t count = 0;
  return read(event_fd_, &count, sizeof(count)) == sizeof(count);
}

}  // namespace lattice::nats
