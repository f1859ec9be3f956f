#include "userspace/control/audit/ingest.h"

#include <glog/logging.h>

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/clock.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/event_json.h"
#include "userspace/control/audit/event_message.h"
#include "userspace/control/audit/head_message.h"

namespace lattice::control {
namespace {

constexpr char kTokenHeader[] = "Lattice-Agent-Token";
constexpr absl::string_view kFlowSubject = "lattice.audit.flow";
constexpr absl::string_view kHeadSubject = "lattice.audit.head";
constexpr absl::Duration kStatePeriod = absl::Seconds(5);
constexpr size_t kMaxRejectBytes = 64 << 10;

absl::string_view ReasonOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
      return "unsupported_version";
    case absl::StatusCode::kOutOfRange:
      return "future_dated";
    case absl::StatusCode::kResourceExhausted:
      return "oversized";
    case absl::StatusCode::kPermissionDenied:
      return "agent_revoked";
    case absl::StatusCode::kUnauthenticated:
      return "agent_mismatch";
    default:
      return "malformed";
  }
}

Reject MakeReject(const nats::Message& message, absl::string_view reason, const absl::Status& status) {
  return {.reason = std::string(reason),
          .detail = std::string(status.message()),
          .subject = std::string(message.subject()),
          .payload = std::string(message.payload().substr(0, kMaxRejectBytes)),
          .stream_seq = message.stream_seq(),
          .stream_time_ns = message.time_ns()};
}

// The agent that the message names must be the one its token was given to.
absl::Status CheckAgent(const nats::Message& message, const std::string& agent, int64_t written_ns,
                        const IngestOptions& options) {
  if (options.verify_token == nullptr) return absl::OkStatus();
  const absl::string_view token = message.header(kTokenHeader);
  if (token.empty()) {
    return absl::UnauthenticatedError(
        "the message has no agent token: start the writer with --agent-token-file, or latticed with "
        "--require-agent-auth=false");
  }
  LATTICE_ASSIGN_OR_RETURN(const std::string owner, options.verify_token(token, absl::FromUnixNanos(written_ns),
                                                                         absl::FromUnixNanos(message.time_ns())));
  if (owner == agent) return absl::OkStatus();
  return absl::UnauthenticatedError(
      absl::StrCat("the message names the agent \"", agent, "\", its token is of \"", owner, "\""));
}

absl::Status DecodeInto(const nats::Message& message, const IngestOptions& options, IngestBatch& batch) {
  const StreamPlace place{message.stream_seq(), message.time_ns()};
  if (message.subject() == kHeadSubject) {
    LATTICE_ASSIGN_OR_RETURN(AuditHead head, DecodeHead(message.payload()));
    LATTICE_RETURN_IF_ERROR(CheckAgent(message, head.agent_id, head.ts_ns, options));
    head.place = place;
    batch.heads.push_back(std::move(head));
    return absl::OkStatus();
  }
  if (message.subject() != kFlowSubject) {
    return absl::InvalidArgumentError(absl::StrCat("nothing is expected on ", message.subject()));
  }
  LATTICE_ASSIGN_OR_RETURN(FlowEvent event, DecodeMessage(message.payload(), place));
  LATTICE_RETURN_IF_ERROR(CheckAgent(message, event.agent_id, event.ts_ns, options));
  batch.events.push_back(std::move(event));
  batch.places.push_back(place);
  return absl::OkStatus();
}

}  // namespace

IngestBatch DecodeBatch(const std::vector<nats::Message>& messages, const IngestOptions& options) {
  IngestBatch batch;
  batch.events.reserve(messages.size());
  batch.places.reserve(messages.size());
  batch.agents_verified = options.verify_token != nullptr;
  for (const nats::Message& message : messages) {
    const absl::Status decoded = DecodeInto(message, options, batch);
    if (!decoded.ok()) batch.rejects.push_back(MakeReject(message, ReasonOf(decoded), decoded));
  }
  return batch;
}

Ingest::Ingest(FlowStore& store, IngestOptions options) : store_(store), options_(std::move(options)) {}

void Ingest::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Ingest::RequestStop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

void Ingest::Stop() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
}

IngestState Ingest::state() const {
  absl::MutexLock lock(&mutex_);
  return state_;
}

bool Ingest::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

// False when stopping.
bool Ingest::Sleep(absl::Duration duration) {
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&stopping_), duration);
  return !stopping_;
}

void Ingest::Problem(absl::string_view what, const absl::Status& status) {
  const std::string text = absl::StrCat(what, ": ", status.message());
  if (const auto suppressed = log_.Admit(RealClock().MonotonicNs())) {
    LOG(WARNING) << text << " (" << *suppressed << " more such failures)";
  }
  absl::MutexLock lock(&mutex_);
  state_.problem = text;
}

void Ingest::Well(bool connected) {
  absl::MutexLock lock(&mutex_);
  state_.connected = connected;
  if (!connected) return;
  state_.problem.clear();
  state_.silent_since = absl::InfiniteFuture();
}

void Ingest::NoteSilence(const absl::Status& ended) {
  absl::MutexLock lock(&mutex_);
  if (!absl::IsDeadlineExceeded(ended)) {
    state_.silent_since = absl::InfiniteFuture();
  } else if (state_.silent_since == absl::InfiniteFuture()) {
    state_.silent_since = absl::Now();
  }
}

void Ingest::Run() {
  absl::Duration backoff = options_.min_backoff;
  bool first = true;
  while (!stopping()) {
    auto consumer = nats::PullConsumer::Open(options_.nats, options_.stream, options_.consumer);
    absl::Status ended = consumer.status();
    if (consumer.ok()) {
      if (!std::exchange(first, false)) ++counters_.reconnects;
      if ((*consumer)->rewound()) {
        ++counters_.rewinds;
        LOG(WARNING) << "the stream " << options_.stream.name << " went back, its server lost what it had: it is read "
                     << "again from its beginning, and what is stored already counts as duplicate";
      }
      LOG(INFO) << "taking audit records from the stream " << options_.stream.name;
      Well(true);
      const absl::Time began = absl::Now();
      ended = Read(**consumer);
      if (absl::Now() - began > options_.max_backoff) backoff = options_.min_backoff;
    }
    Well(false);
    if (stopping()) return;
    NoteSilence(ended);
    Problem("audit records stay in NATS, connecting again", ended);
    if (!Sleep(backoff)) return;
    backoff = std::min(2 * backoff, options_.max_backoff);
  }
}

// Until the connection is lost or we are stopping.
absl::Status Ingest::Read(nats::PullConsumer& consumer) {
  absl::Time state_due = absl::InfinitePast();
  while (!stopping()) {
    if (const absl::Time now = absl::Now(); now >= state_due) {
      state_due = now + kStatePeriod;
      LATTICE_ASSIGN_OR_RETURN(const nats::StreamState stream, consumer.State());
      absl::MutexLock lock(&mutex_);
      state_.stream = stream;
    }
    LATTICE_ASSIGN_OR_RETURN(const std::vector<nats::Message> messages, consumer.Fetch(options_.batch_wait));
    if (messages.empty()) continue;
    LATTICE_RETURN_IF_ERROR(Keep(consumer, messages));
  }
  return absl::OkStatus();
}

// Stores the messages, however long that takes, and acknowledges them.
absl::Status Ingest::Keep(nats::PullConsumer& consumer, const std::vector<nats::Message>& messages) {
  counters_.received += messages.size();
  for (const nats::Message& message : messages) counters_.redelivered += message.redelivered() ? 1 : 0;
  const IngestBatch batch = DecodeBatch(messages, options_);
  if (!batch.rejects.empty()) {
    if (const auto suppressed = reject_log_.Admit(RealClock().MonotonicNs())) {
      LOG(WARNING) << "rejected " << batch.rejects.size() << " messages, kept raw: " << batch.rejects[0].reason << ", "
                   << batch.rejects[0].detail << " (" << *suppressed
                   << " more such batches); GET /api/v1/audit/rejects lists them";
    }
  }
  absl::Duration backoff = options_.min_backoff;
  absl::Time kept = absl::Now();
  while (true) {
    absl::StatusOr<IngestResult> result = Store(batch);
    if (result.ok()) {
      Count(*result);
      break;
    }
    ++counters_.store_failures;
    Problem("the database takes no audit records, they are kept and tried again", result.status());
    if (!Sleep(backoff)) return absl::OkStatus();
    backoff = std::min(2 * backoff, options_.max_backoff);
    if (absl::Now() - kept > options_.consumer.ack_wait / 3) {
      kept = absl::Now();
      LATTICE_RETURN_IF_ERROR(consumer.InProgress(messages));
    }
  }
  Well(true);
  return consumer.Acknowledge(messages);
}

absl::StatusOr<IngestResult> Ingest::Store(const IngestBatch& batch) {
  absl::StatusOr<IngestResult> result = store_.Append(batch);
  ++counters_.batches;
  const absl::Status& status = result.status();
  if (result.ok() || absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) return result;
  return StoreHalves(batch, status);
}

// The database refuses what the batch holds, for `why`.
absl::StatusOr<IngestResult> Ingest::StoreHalves(const IngestBatch& batch, const absl::Status& why) {
  const size_t parts = batch.events.size() + batch.rejects.size() + batch.heads.size();
  if (parts == 1 && batch.events.size() == 1) {
    const FlowEvent& event = batch.events[0];
    LOG(ERROR) << "the database refuses record " << event.event_id << ": " << why.message();
    Reject reject{.reason = "unstorable",
                  .detail = absl::StrCat(event.event_id, ": ", why.message()),
                  .subject = std::string(kFlowSubject),
                  .stream_seq = batch.places[0].seq,
                  .stream_time_ns = batch.places[0].time_ns};
    AppendEventJson(event, reject.payload);
    return Store({.rejects = {std::move(reject)}});
  }
  if (parts <= 1) return why;
  const size_t half = parts / 2;
  IngestBatch halves[2];
  for (IngestBatch& part : halves) part.agents_verified = batch.agents_verified;
  size_t i = 0;
  for (const FlowEvent& event : batch.events) {
    halves[i >= half].places.push_back(batch.places[i]);
    halves[i++ >= half].events.push_back(event);
  }
  for (const Reject& reject : batch.rejects) halves[i++ >= half].rejects.push_back(reject);
  for (const AuditHead& head : batch.heads) halves[i++ >= half].heads.push_back(head);
  IngestResult sum;
  for (const IngestBatch& part : halves) {
    LATTICE_ASSIGN_OR_RETURN(const IngestResult result, Store(part));
    sum.stored += result.stored;
    sum.duplicates += result.duplicates;
    sum.rejected += result.rejected;
    sum.heads += result.heads;
  }
  return sum;
}

void Ingest::Count(const IngestResult& result) {
  counters_.stored += result.stored;
  counters_.duplicates += result.duplicates;
  counters_.rejected += result.rejected;
  counters_.heads += result.heads;
  absl::MutexLock lock(&mutex_);
  state_.last_stored = absl::Now();
}

}  // namespace lattice::control
