// Theory of operation: one thread connects, subscribes, takes request by request from a synchronous subscription and
// answers. The library's reconnection is off, as in connection.cc: when the connection is lost the thread begins again.
#include "userspace/nats/service.h"

#include <glog/logging.h>
#include <nats/nats.h>

#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/status.h"
#include "userspace/nats/holds.h"
#include "userspace/nats/link.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

// How long the end of the service may wait for a subscription that is empty.
constexpr absl::Duration kWait = absl::Milliseconds(200);
// For a question to the stream; other requests wait meanwhile.
constexpr absl::Duration kStreamTimeout = absl::Seconds(2);
constexpr absl::string_view kInboxes = "_INBOX";

struct MessageDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using MessagePtr = std::unique_ptr<natsMsg, MessageDeleter>;

}  // namespace

class Service::Impl {
 public:
  explicit Impl(ServiceOptions options) : options_(std::move(options)) {}
  ~Impl() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    if (thread_.joinable()) thread_.join();
  }
  void Start() {
    thread_ = std::thread([this] { Run(); });
  }

  absl::Status Publish(const std::string& subject, absl::string_view payload) {
    absl::MutexLock lock(&mutex_);
    if (link_ == nullptr) return absl::UnavailableError("not connected to NATS");
    return ToStatus(
        natsConnection_Publish(link_->connection, subject.c_str(), payload.data(), static_cast<int>(payload.size())),
        absl::StrCat("publishing on ", subject));
  }
  bool connected() const {
    absl::MutexLock lock(&mutex_);
    return link_ != nullptr;
  }

 private:
  absl::StatusOr<std::shared_ptr<Link>> Open() {
    LATTICE_ASSIGN_OR_RETURN(const NatsOptionsPtr raw, MakeOptions(options_.connection));
    auto link = std::make_shared<Link>();
    LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_Connect(&link->connection, raw.get()), "cannot connect to NATS"));
    for (const std::string& subject : options_.subjects) {
      natsSubscription* subscription = nullptr;
      LATTICE_RETURN_IF_ERROR(ToStatus(
          natsConnection_QueueSubscribeSync(&subscription, link->connection, subject.c_str(), options_.queue.c_str()),
          absl::StrCat("subscribing to ", subject)));
      link->subscriptions.push_back(subscription);
    }
    return link;
  }

  void Run() {
    std::string last_error;
    while (!stopping()) {
      absl::StatusOr<std::shared_ptr<Link>> link = Open();
      if (link.ok()) {
        last_error.clear();
        SetLink(*link);
        LOG(INFO) << "answering agents on NATS";
        const std::string reason = Serve(**link);
        SetLink(nullptr);
        if (!stopping()) LOG(WARNING) << "agents are not answered: " << reason << "; connecting again";
      } else if (last_error != link.status().message()) {
        last_error = std::string(link.status().message());
        LOG(WARNING) << "agents are not answered: " << last_error << "; trying again";
      }
      Sleep(options_.connection.reconnect_wait);
    }
  }

  // Until the connection is lost; why.
  std::string Serve(Link& link) {
    while (!stopping()) {
      for (natsSubscription* subscription : link.subscriptions) {
        natsMsg* message = nullptr;
        const int64_t wait = absl::ToInt64Milliseconds(kWait) / static_cast<int64_t>(link.subscriptions.size());
        const natsStatus status = natsSubscription_NextMsg(&message, subscription, wait);
        const MessagePtr owner(message);
        if (status == NATS_TIMEOUT) {
          if (natsConnection_Status(link.connection) == NATS_CONN_STATUS_CONNECTED) continue;
          return "the connection to NATS is lost";
        }
        if (status != NATS_OK) return natsStatus_GetText(status);
        Answer(link.connection, message);
      }
    }
    return "stopping";
  }

  void Answer(natsConnection* connection, natsMsg* message) {
    const char* const reply_to = natsMsg_GetReply(message);
    const absl::StatusOr<std::string> answer = AnswerTo(connection, message);
    if (reply_to == nullptr) return;  // nobody waits for it
    if (!absl::StartsWith(reply_to, kInboxes)) {
      LOG_EVERY_N(WARNING, 1000) << "a request wants its answer on " << reply_to << ", which is no inbox: not answered";
      return;
    }
    const natsStatus sent = Send(connection, reply_to, answer);
    if (sent != NATS_OK) LOG(WARNING) << "an agent's answer is lost: " << natsStatus_GetText(sent);
  }

  absl::StatusOr<std::string> AnswerTo(natsConnection* connection, natsMsg* message) const {
    const absl::string_view subject = natsMsg_GetSubject(message);
    const absl::string_view payload(natsMsg_GetData(message), static_cast<size_t>(natsMsg_GetDataLength(message)));
    if (payload.size() > options_.max_request_bytes) {
      return absl::InvalidArgumentError(absl::StrCat("a request has at most ", options_.max_request_bytes, " bytes"));
    }
    if (!options_.stream.empty() && subject == kHoldsSubject) {
      return AnswerHolds(connection, options_.stream, payload, kStreamTimeout);
    }
    if (!options_.stream.empty() && subject == kStreamSubject) {
      return AnswerStreamExtent(connection, options_.stream, kStreamTimeout);
    }
    return options_.handle({subject, payload});
  }

  static natsStatus Send(natsConnection* connection, const char* to, const absl::StatusOr<std::string>& answer) {
    if (answer.ok()) {
      return natsConnection_Publish(connection, to, answer->data(), static_cast<int>(answer->size()));
    }
    natsMsg* error = nullptr;
    natsStatus status = natsMsg_Create(&error, to, nullptr, nullptr, 0);
    const MessagePtr owner(error);
    // A line end would begin another header.
    std::string text(answer.status().message());
    for (char& c : text) {
      if (c == '\r' || c == '\n' || c == '\0') c = ' ';
    }
    if (status == NATS_OK) status = natsMsgHeader_Set(error, "error", text.c_str());
    if (status == NATS_OK) status = natsMsgHeader_Set(error, "status", "400");
    if (status == NATS_OK) status = natsConnection_PublishMsg(connection, error);
    return status;
  }

  void SetLink(std::shared_ptr<Link> link) {
    absl::MutexLock lock(&mutex_);
    link_.swap(link);
  }
  bool stopping() const {
    absl::MutexLock lock(&mutex_);
    return stopping_;
  }
  void Sleep(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  }

  const ServiceOptions options_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<Link> link_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

absl::StatusOr<std::unique_ptr<Service>> Service::Create(ServiceOptions options) {
  LATTICE_RETURN_IF_ERROR(Validate(options.connection));
  LATTICE_RETURN_IF_ERROR(MakeOptions(options.connection).status());
  auto impl = std::make_unique<Impl>(std::move(options));
  impl->Start();
  return absl::WrapUnique(new Service(std::move(impl)));
}

Service::Service(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Service::~Service() = default;

absl::Status Service::Publish(const std::string& subject, absl::string_view payload) {
  return impl_->Publish(subject, payload);
}

bool Service::connected() const {
  return impl_->connected();
}

}  // namespace lattice::nats
