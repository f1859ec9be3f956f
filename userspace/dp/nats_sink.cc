#include "userspace/dp/nats_sink.h"

#include <glog/logging.h>

#include <utility>

#include "userspace/base/clock.h"
#include "userspace/base/status.h"

namespace lattice::dp {
namespace {

// Create fails only for a file that can't be read (validated at start, so gone since then).
constexpr int64_t kCreateIntervalNs = 5'000'000'000;

}  // namespace

absl::StatusOr<nats::Connection*> NatsSink::Connect() {
  {
    absl::MutexLock lock(&mutex_);
    if (connection_ != nullptr) return connection_.get();
    const int64_t now = RealClock().MonotonicNs();
    if (tried_ns_.has_value() && now - *tried_ns_ < kCreateIntervalNs) return create_error_;
    tried_ns_ = now;
  }
  nats::Options login = options_.nats;
  login.agent_token_file = options_.stream.agent_token_file;
  auto connection = nats::Connection::Create(login);  // blocks
  absl::MutexLock lock(&mutex_);
  if (!connection.ok()) {
    create_error_ = connection.status();
    last_error_ = std::string(connection.status().message());
    LOG(ERROR) << "cannot set up the NATS connection, trying again: " << connection.status().message();
    return create_error_;
  }
  connection_ = *std::move(connection);
  if (options_.jetstream) jetstream_ = std::make_unique<nats::JetStreamPublisher>(*connection_, options_.stream);
  return connection_.get();
}

absl::StatusOr<uint64_t> NatsSink::Begin() {
  LATTICE_RETURN_IF_ERROR(Connect().status());
  if (jetstream_ == nullptr) return uint64_t{0};
  absl::StatusOr<uint64_t> begun = jetstream_->Begin();
  absl::MutexLock lock(&mutex_);
  stream_error_ = std::string(begun.status().message());
  return begun;
}

absl::Status NatsSink::Publish(absl::string_view subject, absl::string_view payload, absl::string_view msg_id) {
  LATTICE_ASSIGN_OR_RETURN(nats::Connection* const connection, Connect());
  return jetstream_ == nullptr ? connection->Publish(subject, payload, msg_id)
                               : jetstream_->Publish(subject, payload, msg_id);
}

absl::Status NatsSink::Flush(absl::Duration timeout) {
  LATTICE_ASSIGN_OR_RETURN(nats::Connection* const connection, Connect());
  return jetstream_ == nullptr ? connection->Flush(timeout) : jetstream_->Flush(timeout);
}

std::optional<audit::StoredAt> NatsSink::last_stored() {
  if (jetstream_ == nullptr || !jetstream_->last_stored().has_value()) return std::nullopt;
  const nats::StoredMessage& stored = *jetstream_->last_stored();
  return audit::StoredAt{stored.stream_created_ns, stored.sequence, stored.msg_id};
}

std::vector<audit::Refused> NatsSink::TakeRefused() {
  std::vector<audit::Refused> refused;
  if (jetstream_ == nullptr) return refused;
  for (nats::RefusedMessage& message : jetstream_->TakeRefused()) {
    refused.push_back({std::move(message.msg_id), std::move(message.reason)});
  }
  return refused;
}

absl::StatusOr<bool> NatsSink::Holds(const audit::StoredAt& stored) {
  if (jetstream_ == nullptr) return true;
  return jetstream_->Holds({stored.stream_created_ns, stored.sequence, stored.msg_id});
}

bool NatsSink::connected() {
  const auto connection = Connect();
  // Asked between two batches: nothing is on its way that would have to be told again.
  if (connection.ok() && read_again_.exchange(false)) {
    LOG(INFO) << "connecting to NATS anew, with the token and the credentials that the files hold now";
    (*connection)->Renew();
  }
  return connection.ok() && (*connection)->connected();
}

bool NatsSink::is_connected() const {
  absl::MutexLock lock(&mutex_);
  return connection_ != nullptr && connection_->connected();
}

std::string NatsSink::server() const {
  absl::MutexLock lock(&mutex_);
  return connection_ == nullptr ? "" : connection_->server();
}

std::string NatsSink::last_error() const {
  absl::MutexLock lock(&mutex_);
  return last_error_.empty() ? stream_error_ : last_error_;
}

uint64_t NatsSink::reconnects() const {
  absl::MutexLock lock(&mutex_);
  return connection_ == nullptr ? 0 : connection_->reconnects();
}

const nats::JetStreamCounters* NatsSink::jetstream_counters() const {
  absl::MutexLock lock(&mutex_);
  return jetstream_ == nullptr ? nullptr : &jetstream_->counters();
}

void NatsSink::LogEvents() {
  absl::MutexLock lock(&mutex_);
  if (connection_ == nullptr) return;
  for (const nats::Event& event : connection_->TakeEvents()) {
    if (event.kind == nats::Event::Kind::kConnected) {
      LOG(INFO) << event.text;
      last_error_.clear();
    } else {
      LOG(WARNING) << event.text << "; records wait in the audit file";
      last_error_ = event.text;
    }
  }
}

}  // namespace lattice::dp
