#include "userspace/nats/pull_consumer.h"

#include <nats/nats.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/status.h"
#include "userspace/nats/link.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

// A record has at most 64 KiB; without a limit few large ones push many small ones out.
constexpr int32_t kMaxMessageBytes = 128 << 10;

template <typename T, void (*Free)(T*)>
struct Deleter {
  void operator()(T* pointer) const { Free(pointer); }
};
using StreamInfoPtr = std::unique_ptr<jsStreamInfo, Deleter<jsStreamInfo, jsStreamInfo_Destroy>>;
using ConsumerInfoPtr = std::unique_ptr<jsConsumerInfo, Deleter<jsConsumerInfo, jsConsumerInfo_Destroy>>;
using MetaPtr = std::unique_ptr<jsMsgMetaData, Deleter<jsMsgMetaData, jsMsgMetaData_Destroy>>;

bool IsMissing(natsStatus status, jsErrCode error) {
  return status == NATS_NOT_FOUND || error == JSStreamNotFoundErr || error == JSConsumerNotFoundErr;
}

// `status`, or another reader's having done the same a moment before.
absl::Status UnlessExists(natsStatus status, jsErrCode error, absl::string_view context) {
  if (error == JSStreamNameExistErr || error == JSConsumerNameExistErr) {
    return absl::OkStatus();
  }
  return ToStatus(status, context);
}

}  // namespace

Message::Message(natsMsg* raw) : raw_(raw) {
  jsMsgMetaData* meta = nullptr;
  if (natsMsg_GetMetaData(&meta, raw) != NATS_OK) return;
  const MetaPtr owner(meta);
  stream_seq_ = meta->Sequence.Stream;
  time_ns_ = meta->Timestamp;
  redelivered_ = meta->NumDelivered > 1;
}

Message::Message(Message&& other) noexcept
    : raw_(std::exchange(other.raw_, nullptr)),
      stream_seq_(other.stream_seq_),
      time_ns_(other.time_ns_),
      redelivered_(other.redelivered_) {}

Message& Message::operator=(Message&& other) noexcept {
  std::swap(raw_, other.raw_);
  stream_seq_ = other.stream_seq_;
  time_ns_ = other.time_ns_;
  redelivered_ = other.redelivered_;
  return *this;
}

Message::~Message() {
  natsMsg_Destroy(raw_);
}

absl::string_view Message::subject() const {
  return natsMsg_GetSubject(raw_);
}

absl::string_view Message::payload() const {
  return {natsMsg_GetData(raw_), static_cast<size_t>(natsMsg_GetDataLength(raw_))};
}

absl::string_view Message::header(const char* name) const {
  const char* value = nullptr;
  return natsMsgHeader_Get(raw_, name, &value) == NATS_OK && value != nullptr ? value : "";
}

PullConsumer::PullConsumer(std::unique_ptr<Link> link, StreamConfig stream, ConsumerConfig consumer)
    : link_(std::move(link)), stream_(std::move(stream)), consumer_(std::move(consumer)) {}

PullConsumer::~PullConsumer() = default;

absl::StatusOr<std::unique_ptr<PullConsumer>> PullConsumer::Open(const Options& connection, const StreamConfig& stream,
                                                                 const ConsumerConfig& consumer) {
  LATTICE_RETURN_IF_ERROR(Validate(connection));
  LATTICE_ASSIGN_OR_RETURN(const NatsOptionsPtr raw, MakeOptions(connection));
  auto link = std::make_unique<Link>();
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_Connect(&link->connection, raw.get()), "cannot connect to NATS"));
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_JetStream(&link->js, link->connection, nullptr), "JetStream"));
  auto opened = absl::WrapUnique(new PullConsumer(std::move(link), stream, consumer));
  LATTICE_RETURN_IF_ERROR(opened->EnsureStream());
  LATTICE_RETURN_IF_ERROR(opened->EnsureConsumer());
  LATTICE_RETURN_IF_ERROR(opened->Subscribe());
  return opened;
}

absl::Status PullConsumer::EnsureStream() {
  jsStreamConfig config;
  jsStreamConfig_Init(&config);
  std::vector<const char*> subjects;
  for (const std::string& subject : stream_.subjects) subjects.push_back(subject.c_str());
  config.Name = stream_.name.c_str();
  config.Subjects = subjects.data();
  config.SubjectsLen = static_cast<int>(subjects.size());
  config.Storage = js_FileStorage;
  config.Replicas = stream_.replicas;
  config.MaxAge = absl::ToInt64Nanoseconds(stream_.max_age);
  config.MaxBytes = stream_.max_bytes == 0 ? -1 : stream_.max_bytes;
  config.Duplicates = absl::ToInt64Nanoseconds(stream_.duplicates);
  config.MaxMsgSize = kMaxMessageBytes;
  config.DenyDelete = true;
  config.DenyPurge = true;
  const std::string context = absl::StrCat("stream ", stream_.name);
  jsErrCode error = jsErrCode(0);
  jsStreamInfo* info = nullptr;
  natsStatus status = js_GetStreamInfo(&info, link_->js, stream_.name.c_str(), nullptr, &error);
  const bool missing = IsMissing(status, error);
  const StreamInfoPtr owner(info);
  if (!missing) {
    LATTICE_RETURN_IF_ERROR(ToStatus(status, context));
    const jsStreamConfig& now = *info->Config;
    if (now.Replicas == config.Replicas && now.MaxAge == config.MaxAge && now.MaxBytes == config.MaxBytes &&
        now.Duplicates == config.Duplicates && now.MaxMsgSize == config.MaxMsgSize &&
        now.SubjectsLen == config.SubjectsLen) {
      return absl::OkStatus();
    }
    return ToStatus(js_UpdateStream(nullptr, link_->js, &config, nullptr, &error), absl::StrCat(context, ": limits"));
  }
  status = js_AddStream(nullptr, link_->js, &config, nullptr, &error);
  return UnlessExists(status, error, absl::StrCat("making the ", context));
}

absl::Status PullConsumer::EnsureConsumer() {
  LATTICE_ASSIGN_OR_RETURN(const StreamState stream, State());
  jsErrCode error = jsErrCode(0);
  jsConsumerInfo* info = nullptr;
  natsStatus status =
      js_GetConsumerInfo(&info, link_->js, stream_.name.c_str(), consumer_.durable.c_str(), nullptr, &error);
  const ConsumerInfoPtr owner(info);
  const std::string context = absl::StrCat("consumer ", consumer_.durable, " of stream ", stream_.name);
  if (!IsMissing(status, error)) {
    LATTICE_RETURN_IF_ERROR(ToStatus(status, context));
    if (std::max(info->Delivered.Stream, info->AckFloor.Stream) <= stream.last_seq) return absl::OkStatus();
    rewound_ = true;
    status = js_DeleteConsumer(link_->js, stream_.name.c_str(), consumer_.durable.c_str(), nullptr, &error);
    if (!IsMissing(status, error)) LATTICE_RETURN_IF_ERROR(ToStatus(status, context));
  }
  jsConsumerConfig config;
  jsConsumerConfig_Init(&config);
  config.Durable = consumer_.durable.c_str();
  config.DeliverPolicy = js_DeliverAll;
  config.AckPolicy = js_AckExplicit;
  config.AckWait = absl::ToInt64Nanoseconds(consumer_.ack_wait);
  config.MaxAckPending = consumer_.max_ack_pending;
  config.MaxDeliver = -1;
  status = js_AddConsumer(nullptr, link_->js, stream_.name.c_str(), &config, nullptr, &error);
  return UnlessExists(status, error, absl::StrCat("making the ", context));
}

absl::Status PullConsumer::Subscribe() {
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Stream = stream_.name.c_str();
  options.Consumer = consumer_.durable.c_str();
  jsErrCode error = jsErrCode(0);
  const std::string context = absl::StrCat("pulling from stream ", stream_.name);
  LATTICE_RETURN_IF_ERROR(ToStatus(
      js_PullSubscribe(&subscription_, link_->js, nullptr, consumer_.durable.c_str(), nullptr, &options, &error),
      context));
  link_->subscriptions.push_back(subscription_);
  return ToStatus(natsSubscription_SetPendingLimits(subscription_, FetchMessages(), -1), context);
}

// natsSubscription_Fetch() of nats.c 3.4 takes all that is queued, also above what it was asked for, into memory for as
// many as it was asked for. What came too late for one call is queued at the next, so each asks for more than can be:
// what the server gives out without an acknowledgement, and some messages of its own about the requests. Should it give
// out more after all, the queue's limit drops it, and it comes again.
int PullConsumer::FetchMessages() const {
  constexpr int64_t kStatusMessages = 256;
  return static_cast<int>(std::min<int64_t>(consumer_.max_ack_pending, 1'000'000) + kStatusMessages);
}

absl::StatusOr<std::vector<Message>> PullConsumer::Fetch(absl::Duration wait) {
  natsMsgList list = {};
  jsErrCode error = jsErrCode(0);
  const natsStatus status =
      natsSubscription_Fetch(&list, subscription_, FetchMessages(), absl::ToInt64Milliseconds(wait), &error);
  std::vector<Message> messages;
  if (status == NATS_TIMEOUT) {
    // Nothing came. That a server stands still or the consumer is gone shows in State(), which the caller asks.
    if (natsConnection_Status(link_->connection) == NATS_CONN_STATUS_CONNECTED) return messages;
    return absl::UnavailableError("the connection to NATS is lost");
  }
  LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("fetching from stream ", stream_.name)));
  messages.reserve(static_cast<size_t>(list.Count));
  for (int i = 0; i < list.Count; ++i) messages.emplace_back(std::exchange(list.Msgs[i], nullptr));
  natsMsgList_Destroy(&list);
  return messages;
}

absl::Status PullConsumer::Acknowledge(const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    LATTICE_RETURN_IF_ERROR(ToStatus(natsMsg_Ack(message.raw(), nullptr), "acknowledging to NATS"));
  }
  return absl::OkStatus();
}

absl::Status PullConsumer::InProgress(const std::vector<Message>& messages) {
  for (const Message& message : messages) {
    LATTICE_RETURN_IF_ERROR(ToStatus(natsMsg_InProgress(message.raw(), nullptr), "keeping messages from NATS"));
  }
  return absl::OkStatus();
}

absl::StatusOr<StreamState> PullConsumer::State() {
  jsErrCode error = jsErrCode(0);
  jsStreamInfo* info = nullptr;
  LATTICE_RETURN_IF_ERROR(ToStatus(js_GetStreamInfo(&info, link_->js, stream_.name.c_str(), nullptr, &error),
                                   absl::StrCat("stream ", stream_.name)));
  const StreamInfoPtr owner(info);
  StreamState state{.messages = info->State.Msgs,
                    .bytes = info->State.Bytes,
                    .first_seq = info->State.FirstSeq,
                    .last_seq = info->State.LastSeq};
  if (subscription_ == nullptr) return state;
  jsConsumerInfo* consumer = nullptr;
  LATTICE_RETURN_IF_ERROR(ToStatus(
      js_GetConsumerInfo(&consumer, link_->js, stream_.name.c_str(), consumer_.durable.c_str(), nullptr, &error),
      absl::StrCat("consumer ", consumer_.durable)));
  const ConsumerInfoPtr consumer_owner(consumer);
  // A stream that went back while we were connected, or a consumer from before that.
  if (std::max(consumer->Delivered.Stream, consumer->AckFloor.Stream) > state.last_seq) {
    return absl::FailedPreconditionError(absl::StrCat("the stream ", stream_.name, " went back"));
  }
  state.consumer_pending = consumer->NumPending;
  state.consumer_ack_pending = static_cast<uint64_t>(std::max<int64_t>(consumer->NumAckPending, 0));
  return state;
}

}  // namespace lattice::nats
