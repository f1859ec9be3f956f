// Theory of operation.
//
// A Lane is a JetStream context on one Session together with the messages whose acknowledgements it waits for. After
// any error these are forgotten, and what still comes for one of them is nothing to the next try, which Begin() opens.
//
// The context stays as long as its session, and closes it before it goes: libnats 3.4.1 reads acknowledgements into the
// context's subscription without holding on to it, so that one destroyed while they come is used after it was freed.
//
// An OK of js_PublishMsgAsync() proves nothing, and without MaxWait the library never tells of a message that got
// lost: each has one. What the stream stores has growing sequence numbers; so the newest message of a batch that is
// still there proves all before it, and a number that is not above those before it proves that the stream lost
// something or is another one.
//
// One file: what Flush() promises can be seen only in the publisher, the lane and its acknowledgements together.
#include "userspace/nats/jetstream_publisher.h"

#include <nats/nats.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/nats/agent_login.h"
#include "userspace/nats/closures.h"
#include "userspace/nats/holds.h"
#include "userspace/nats/options.h"
#include "userspace/nats/session.h"

namespace lattice::nats {
namespace {

constexpr char kMsgIdHeader[] = "Nats-Msg-Id";
constexpr char kTokenHeader[] = "Lattice-Agent-Token";
// nats-server's error code that the library's header lacks.
constexpr int kHeaderExceedsMaximum = 10097;
constexpr size_t kLeastWindow = 16;
// How often a wait looks whether its session is still there: the library tells only the keeper.
constexpr absl::Duration kLook = absl::Milliseconds(50);

struct MsgDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using MsgPtr = std::unique_ptr<natsMsg, MsgDeleter>;

// What stands behind the record's own id in the message id of a writer with a token: ids can be guessed, and what
// carries one that the stream has seen is a repetition to it. So nobody else can use ours up.
constexpr char kMarkSign = '~';
constexpr size_t kMarkBytes = 8;

std::string MarkOf(absl::string_view token, absl::string_view msg_id) {
  if (token.empty() || msg_id.empty()) return "";
  const std::string both = absl::StrCat(token, "\n", msg_id);
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(both.data()), both.size(), digest);
  const absl::string_view mark(reinterpret_cast<const char*>(digest), kMarkBytes);
  return absl::StrCat(absl::string_view(&kMarkSign, 1), absl::BytesToHexString(mark));
}

absl::string_view WithoutMark(absl::string_view msg_id) {
  return msg_id.substr(0, msg_id.rfind(kMarkSign));
}

absl::Status NoStream(absl::string_view stream) {
  return absl::UnavailableError(absl::StrCat("there is no JetStream stream ", stream,
                                             ": start `latticed`, which makes it; --nats-jetstream=false publishes "
                                             "without acknowledgement of storage"));
}

}  // namespace

// What came back for the messages of a lane. Any thread.
class JetStreamPublisher::Acks {
 public:
  Acks(std::string stream, std::shared_ptr<JetStreamCounters> counters)
      : stream_(std::move(stream)), counters_(std::move(counters)) {}

  // The library's callback, on one of its threads.
  static void OnAck(jsCtx*, natsMsg* message, jsPubAck* ack, jsPubAckErr* error, void* closure) {
    MsgPtr owned(message);
    if (const auto acks = Closures<Acks>::Get().Find(closure)) acks->Take(std::move(owned), ack, error);
  }

  // As if nothing had been sent. Answers may be on their way.
  void Reset() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    counters_->in_flight.fetch_sub(static_cast<int64_t>(pending_.size()), std::memory_order_relaxed);
    pending_.clear();
    error_ = absl::OkStatus();
    floor_ = 0;
    highest_ = 0;
    refused_.clear();
  }

  // Publishes `*message` and waits for its answer; takes it but on an error.
  natsStatus Send(jsCtx* context, natsMsg** message, jsPubOptions* options) ABSL_LOCKS_EXCLUDED(mutex_) {
    const natsMsg* const sent = *message;
    {
      absl::MutexLock lock(&mutex_);
      sending_ = sent;
      pending_.insert(sent);
      counters_->in_flight.fetch_add(1, std::memory_order_relaxed);
    }
    const natsStatus status = js_PublishMsgAsync(context, message, options);
    absl::MutexLock lock(&mutex_);
    sending_ = nullptr;
    answered_ = nullptr;
    if (status != NATS_OK) Done(sent);  // nothing will come
    return status;
  }
  // Until at most `at_most` are without an answer. DeadlineExceeded after `timeout`; Unavailable: one failed.
  absl::Status Await(size_t at_most, absl::Duration timeout) ABSL_LOCKS_EXCLUDED(mutex_) {
    const auto ready = [&]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return pending_.size() <= at_most || !error_.ok(); };
    absl::MutexLock lock(&mutex_);
    const bool done = mutex_.AwaitWithTimeout(absl::Condition(&ready), timeout);
    LATTICE_RETURN_IF_ERROR(error_);
    if (done) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrCat(pending_.size(), " messages are not acknowledged yet"));
  }
  size_t pending() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return pending_.size();
  }

  // All is acknowledged: what comes later must have larger sequence numbers. False: nothing was stored.
  bool Settle(StoredMessage* stored) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    floor_ = std::max(floor_, highest_);
    stored->sequence = std::exchange(highest_, 0);
    stored->msg_id = highest_id_;
    return stored->sequence > 0;
  }
  void RaiseFloor(uint64_t sequence) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    floor_ = std::max(floor_, sequence);
  }
  uint64_t floor() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return floor_;
  }
  std::vector<RefusedMessage> TakeRefused() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return std::exchange(refused_, {});
  }

 private:
  // False: it was sent before a Reset().
  bool Done(const natsMsg* message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (pending_.erase(message) == 0) return false;
    counters_->in_flight.fetch_sub(1, std::memory_order_relaxed);
    return true;
  }

  void Take(MsgPtr message, const jsPubAck* ack, const jsPubAckErr* error) ABSL_LOCKS_EXCLUDED(mutex_) {
    const char* id = nullptr;
    if (natsMsgHeader_Get(message.get(), kMsgIdHeader, &id) != NATS_OK) id = "";
    absl::MutexLock lock(&mutex_);
    if (!Done(message.get())) return;
    if (ack != nullptr) {
      TakeAck(*ack, id);
    } else {
      TakeError(*error, id);
    }
    if (message.get() == sending_) answered_ = std::move(message);
  }

  void TakeAck(const jsPubAck& ack, const char* id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    counters_->acked.fetch_add(1, std::memory_order_relaxed);
    // A duplicate's number is that of the message that is there.
    if (ack.Duplicate) counters_->duplicates.fetch_add(1, std::memory_order_relaxed);
    if (!ack.Duplicate && ack.Sequence <= floor_) {
      SetError(absl::StrCat("the stream ", stream_, " went backwards, from message ", floor_, " to ", ack.Sequence));
    }
    if (ack.Sequence <= highest_) return;
    highest_ = ack.Sequence;
    highest_id_ = id;
  }

  void TakeError(const jsPubAckErr& error, const char* id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const int code = error.ErrCode;
    if (code == JSStreamMessageExceedsMaximumErr || code == kHeaderExceedsMaximum) {
      refused_.push_back({std::string(WithoutMark(id)), absl::StrCat("the stream ", stream_, ": ", error.ErrText)});
    } else if (error.Err == NATS_NO_RESPONDERS) {
      counters_->no_stream.fetch_add(1, std::memory_order_relaxed);
      SetError(NoStream(stream_).message());
    } else if (error.Err == NATS_TIMEOUT) {
      counters_->ack_timeouts.fetch_add(1, std::memory_order_relaxed);
      SetError(absl::StrCat("the stream ", stream_, " does not acknowledge; what was published may be stored or not"));
    } else {
      SetError(absl::StrCat("the stream ", stream_, ": ", natsStatus_GetText(error.Err), " ",
                            error.ErrText == nullptr ? "" : error.ErrText));
    }
  }

  // The first one counts.
  void SetError(absl::string_view text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (error_.ok()) error_ = absl::UnavailableError(text);
  }

  const std::string stream_;
  const std::shared_ptr<JetStreamCounters> counters_;
  mutable absl::Mutex mutex_;
  // Each is the library's until its answer, so that no other has the same address.
  absl::flat_hash_set<const natsMsg*> pending_ ABSL_GUARDED_BY(mutex_);
  // The library may time a message out, or even have its acknowledgement, while js_PublishMsgAsync() still reads it:
  // that one stays until the call is over.
  const natsMsg* sending_ ABSL_GUARDED_BY(mutex_) = nullptr;
  MsgPtr answered_ ABSL_GUARDED_BY(mutex_);
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  uint64_t floor_ ABSL_GUARDED_BY(mutex_) = 0;    // every new message has a larger number
  uint64_t highest_ ABSL_GUARDED_BY(mutex_) = 0;  // acknowledged since Settle()
  std::string highest_id_ ABSL_GUARDED_BY(mutex_);
  std::vector<RefusedMessage> refused_ ABSL_GUARDED_BY(mutex_);
};

class JetStreamPublisher::Lane {
 public:
  Lane(std::shared_ptr<Session> session, std::shared_ptr<Acks> acks)
      : session_(std::move(session)), acks_(std::move(acks)), number_(Closures<Acks>::Get().Register(acks_)) {}
  ~Lane() {
    Closures<Acks>::Get().Unregister(number_);
    acks_->Reset();
    session_->Close();
    jsCtx_Destroy(context_);
  }

  absl::Status EnsureContext(absl::Duration api_timeout) {
    if (context_ != nullptr) return absl::OkStatus();
    jsOptions options;
    jsOptions_Init(&options);
    options.Wait = absl::ToInt64Milliseconds(api_timeout);
    options.PublishAsync.AckHandler = Acks::OnAck;
    options.PublishAsync.AckHandlerClosure = Closures<Acks>::ToClosure(number_);
    return ToStatus(natsConnection_JetStream(&context_, session_->get(), &options), "NATS JetStream");
  }

  Session& session() const { return *session_; }
  jsCtx* context() const { return context_; }
  Acks& acks() const { return *acks_; }

  std::string token;
  int64_t created_ns = 0;  // of the stream
  absl::Time asked;

 private:
  const std::shared_ptr<Session> session_;
  const std::shared_ptr<Acks> acks_;
  const uint64_t number_;
  jsCtx* context_ = nullptr;
};

JetStreamPublisher::JetStreamPublisher(Connection& connection, JetStreamOptions options)
    : connection_(connection),
      options_(std::move(options)),
      counters_(std::make_shared<JetStreamCounters>()),
      window_(std::max(options_.window, kLeastWindow)) {}

JetStreamPublisher::~JetStreamPublisher() = default;

absl::Status JetStreamPublisher::Fail(const absl::Status& status) {
  // Sent again in the same way, the same number would be late again, for ever.
  const uint64_t timeouts = counters_->ack_timeouts;
  if (std::exchange(timeouts_seen_, timeouts) != timeouts) window_ = std::max(window_ / 2, kLeastWindow);
  Forget();
  refused_.clear();
  if (absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(status.message());
}

void JetStreamPublisher::Forget() {
  open_ = false;
  if (lane_ != nullptr) lane_->acks().Reset();
  last_stored_.reset();
}

absl::StatusOr<uint64_t> JetStreamPublisher::Begin() {
  std::shared_ptr<Session> session = connection_.session();
  if (session == nullptr || !session->connected()) return Fail(connection_.NotConnected());
  if (lane_ == nullptr || &lane_->session() != session.get()) {
    lane_ = std::make_unique<Lane>(std::move(session), std::make_shared<Acks>(options_.stream, counters_));
    open_ = false;
  }
  if (open_) {
    if (absl::Now() - lane_->asked < options_.check_interval || lane_->acks().pending() > 0) return epoch_;
    const absl::StatusOr<StreamExtent> stream = AskStream();
    if (!stream.ok()) return Fail(stream.status());
    if (stream->created_ns == lane_->created_ns && stream->last >= lane_->acks().floor()) return epoch_;
  }
  if (const absl::Status opened = Open(); !opened.ok()) return Fail(opened);
  return epoch_;
}

absl::Status JetStreamPublisher::Open() {
  Forget();
  lane_->token.clear();
  if (!options_.agent_token_file.empty()) {
    LATTICE_ASSIGN_OR_RETURN(lane_->token, ReadSecret(options_.agent_token_file, "agent token"));
    LATTICE_RETURN_IF_ERROR(Annotate(ValidateMessage("token", lane_->token), "NATS agent token file"));
  }
  LATTICE_RETURN_IF_ERROR(lane_->EnsureContext(options_.api_timeout));
  LATTICE_ASSIGN_OR_RETURN(const StreamExtent stream, AskStream());
  lane_->created_ns = stream.created_ns;
  open_ = true;
  ++epoch_;
  return absl::OkStatus();
}

absl::StatusOr<StreamExtent> JetStreamPublisher::AskStream() {
  lane_->asked = absl::Now();
  const absl::StatusOr<StreamExtent> told = AskStreamExtent(lane_->session().get(), options_.api_timeout);
  if (!absl::IsNotFound(told.status())) return told.ok() ? told : Explain(told.status());
  // On latticed's own server, which the token has the login for, nobody else may ask: latticed is on its way up.
  if (LoginOfToken(lane_->token).has_value()) return absl::UnavailableError(told.status().message());
  jsStreamInfo* info = nullptr;
  jsErrCode code = {};
  const natsStatus status = js_GetStreamInfo(&info, lane_->context(), options_.stream.c_str(), nullptr, &code);
  if (status == NATS_OK) {
    const StreamExtent state = {info->Created, info->State.FirstSeq, info->State.LastSeq};
    jsStreamInfo_Destroy(info);
    return state;
  }
  if (code == JSStreamNotFoundErr || status == NATS_NOT_FOUND) {
    counters_->no_stream.fetch_add(1, std::memory_order_relaxed);
    return NoStream(options_.stream);
  }
  if (status == NATS_NO_RESPONDERS || code == JSNotEnabledErr || code == JSNotEnabledForAccountErr) {
    counters_->no_stream.fetch_add(1, std::memory_order_relaxed);
    return absl::UnavailableError(
        absl::StrCat("the NATS server has no JetStream, so no stream ", options_.stream,
                     ": start it with -js, or publish without acknowledgement of storage by --nats-jetstream=false"));
  }
  const absl::Status error =
      Annotate(ToStatus(status, absl::StrCat("asking for the stream ", options_.stream)), "NATS JetStream");
  return Explain(error);
}

// A question that the server does not permit only runs into its timeout.
absl::Status JetStreamPublisher::Explain(const absl::Status& error) const {
  if (!lane_->session().refused()) return error;
  // Kept by the library as long as the session lasts, and a server that is told otherwise applies it to new ones.
  const std::string reason = lane_->session().reason();
  lane_->session().Close();
  return absl::PermissionDeniedError(
      absl::StrCat("the NATS server refuses: ", reason, "; permit publishing to ", kStreamSubject, " and ",
                   kHoldsSubject, ", or where no latticed answers to ", "$JS.API.STREAM.INFO.", options_.stream));
}

absl::Status JetStreamPublisher::Await(size_t at_most, absl::Time deadline) {
  while (true) {
    const absl::Duration left = std::max(deadline - absl::Now(), absl::ZeroDuration());
    const absl::Status status = lane_->acks().Await(at_most, std::min(left, kLook));
    if (!absl::IsDeadlineExceeded(status)) return status;
    const Session& session = lane_->session();
    if (!session.connected()) return absl::UnavailableError(absl::StrCat("NATS connection lost: ", session.reason()));
    if (session.refused()) {
      const std::string reason = session.reason();
      session.Close();
      return absl::UnavailableError(absl::StrCat("the NATS server refuses what is published: ", reason));
    }
    if (left == absl::ZeroDuration()) return status;
  }
}

absl::Status JetStreamPublisher::Publish(absl::string_view subject, absl::string_view payload,
                                         absl::string_view msg_id) {
  LATTICE_RETURN_IF_ERROR(ValidateMessage(subject, msg_id));
  if (!open_) return absl::UnavailableError("the NATS connection was lost or made anew");
  Acks& acks = lane_->acks();
  if (acks.pending() >= window_) {
    counters_->window_full.fetch_add(1, std::memory_order_relaxed);
    // Half of it, so that not each acknowledgement wakes this thread.
    const absl::Status room = Await(window_ / 2, absl::Now() + 2 * options_.ack_timeout);
    if (!room.ok()) return Fail(room);
  }
  subject_.assign(subject.data(), subject.size());
  msg_id_.assign(msg_id.data(), msg_id.size());
  msg_id_ += MarkOf(lane_->token, msg_id);
  natsMsg* raw = nullptr;
  natsStatus status = natsMsg_Create(&raw, subject_.c_str(), nullptr, payload.data(), static_cast<int>(payload.size()));
  if (status == NATS_OK && !lane_->token.empty()) {
    status = natsMsgHeader_Set(raw, kTokenHeader, lane_->token.c_str());
  }
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.MaxWait = std::max<int64_t>(absl::ToInt64Milliseconds(options_.ack_timeout), 1);
  options.MsgId = msg_id_.empty() ? nullptr : msg_id_.c_str();
  if (status == NATS_OK) status = acks.Send(lane_->context(), &raw, &options);
  natsMsg_Destroy(raw);
  if (status == NATS_OK) return absl::OkStatus();
  const absl::Status failed = ToStatus(status, "publishing to NATS");
  if (absl::IsInvalidArgument(failed)) return failed;
  // Perhaps a part was written; what follows it would be nonsense to the server.
  lane_->session().Close();
  return Fail(failed);
}

absl::Status JetStreamPublisher::Flush(absl::Duration timeout) {
  if (!open_) return absl::UnavailableError("the NATS connection was lost or made anew");
  const absl::Status flushed = Await(0, absl::Now() + timeout);
  if (absl::IsDeadlineExceeded(flushed)) return flushed;
  if (!flushed.ok()) return Fail(flushed);
  window_ = std::min(window_ + std::max<size_t>(window_ / 16, 1), std::max(options_.window, kLeastWindow));
  StoredMessage stored{.stream_created_ns = lane_->created_ns};
  if (lane_->acks().Settle(&stored)) last_stored_ = std::move(stored);
  for (RefusedMessage& refused : lane_->acks().TakeRefused()) refused_.push_back(std::move(refused));
  return absl::OkStatus();
}

std::vector<RefusedMessage> JetStreamPublisher::TakeRefused() {
  return std::exchange(refused_, {});
}

absl::StatusOr<bool> JetStreamPublisher::Holds(const StoredMessage& message) {
  if (!open_) return absl::UnavailableError("the NATS connection was lost or made anew");
  absl::StatusOr<StreamExtent> stream = AskStream();
  if (!stream.ok()) return Fail(stream.status());
  if (stream->created_ns != message.stream_created_ns || stream->last < message.sequence) return false;
  // Dropped by its limits, as told to: what it once had is no question any more.
  if (stream->first > message.sequence) return true;
  absl::StatusOr<Held> held = AskHolds(lane_->session().get(), message.sequence, message.msg_id, options_.api_timeout);
  // No latticed is there. Whoever keeps the server may have permitted it.
  if (absl::IsNotFound(held.status())) {
    held = LookHolds(lane_->context(), options_.stream, message.sequence, message.msg_id);
  }
  if (!held.ok()) return Fail(Explain(held.status()));
  if (*held == Held::kNone) {
    stream = AskStream();  // it may be dropped since the last question
    if (!stream.ok()) return Fail(stream.status());
    return stream->first > message.sequence;
  }
  if (*held == Held::kSame) lane_->acks().RaiseFloor(message.sequence);
  return *held == Held::kSame;
}

}  // namespace lattice::nats
