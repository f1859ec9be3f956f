#include "tests/testing/audit_stream.h"

#include <nats/nats.h>

#include <algorithm>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "tests/testing/nats_client.h"

namespace lattice::testing {
namespace {

constexpr char kName[] = "LATTICE_AUDIT";

absl::Status Error(natsStatus status, const std::string& what) {
  if (status == NATS_OK) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(what, ": ", natsStatus_GetText(status)));
}

std::string Header(natsMsg* message, const char* name) {
  const char* value = nullptr;
  return natsMsgHeader_Get(message, name, &value) == NATS_OK ? value : "";
}

}  // namespace

struct AuditStream::Impl {
  natsConnection* connection = nullptr;
  jsCtx* context = nullptr;
  ~Impl() {
    jsCtx_Destroy(context);
    natsConnection_Destroy(connection);
  }
};

AuditStream::AuditStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
AuditStream::~AuditStream() = default;

absl::StatusOr<std::unique_ptr<AuditStream>> AuditStream::Connect(const std::string& url,
                                                                  const std::string& tls_ca_file) {
  auto impl = std::make_unique<Impl>();
  natsStatus status = ConnectNatsClient(url, tls_ca_file, &impl->connection);
  if (status == NATS_OK) status = natsConnection_JetStream(&impl->context, impl->connection, nullptr);
  if (status != NATS_OK) return Error(status, "connecting to JetStream");
  return absl::WrapUnique(new AuditStream(std::move(impl)));
}

absl::Status AuditStream::Make(const AuditStreamOptions& options) {
  jsStreamConfig config;
  jsStreamConfig_Init(&config);
  const char* subjects[] = {"lattice.audit.>"};
  config.Name = kName;
  config.Subjects = subjects;
  config.SubjectsLen = 1;
  config.Storage = js_FileStorage;
  config.Duplicates = int64_t{120} * 1'000'000'000;
  config.DenyDelete = options.deny_delete;
  config.DenyPurge = options.deny_delete;
  config.MaxMsgs = options.max_messages;
  config.MaxMsgSize = options.max_message_bytes;
  return Error(js_AddStream(nullptr, impl_->context, &config, nullptr, nullptr), "making the stream");
}

absl::Status AuditStream::Delete() {
  return Error(js_DeleteStream(impl_->context, kName, nullptr, nullptr), "deleting the stream");
}

int64_t AuditStream::Count() {
  jsStreamInfo* info = nullptr;
  if (js_GetStreamInfo(&info, impl_->context, kName, nullptr, nullptr) != NATS_OK) return -1;
  const auto count = static_cast<int64_t>(info->State.Msgs);
  jsStreamInfo_Destroy(info);
  return count;
}

uint64_t AuditStream::LastSequence() {
  jsStreamInfo* info = nullptr;
  if (js_GetStreamInfo(&info, impl_->context, kName, nullptr, nullptr) != NATS_OK) return 0;
  const uint64_t last = info->State.LastSeq;
  jsStreamInfo_Destroy(info);
  return last;
}

// One by one: an ordered consumer of libnats 3.4.1, made and ended again and again, corrupts the heap now and then.
std::vector<StoredNatsMessage> AuditStream::Messages() {
  std::vector<StoredNatsMessage> messages;
  jsStreamInfo* info = nullptr;
  if (js_GetStreamInfo(&info, impl_->context, kName, nullptr, nullptr) != NATS_OK) return messages;
  const uint64_t first = info->State.FirstSeq, last = info->State.LastSeq;
  jsStreamInfo_Destroy(info);
  for (uint64_t sequence = std::max<uint64_t>(first, 1); sequence <= last; ++sequence) {
    natsMsg* raw = nullptr;
    if (js_GetMsg(&raw, impl_->context, kName, sequence, nullptr, nullptr) != NATS_OK) continue;
    messages.push_back({.sequence = sequence,
                        .subject = natsMsg_GetSubject(raw),
                        .payload = std::string(natsMsg_GetData(raw), static_cast<size_t>(natsMsg_GetDataLength(raw))),
                        .msg_id = Header(raw, "Nats-Msg-Id"),
                        .agent_token = Header(raw, "Lattice-Agent-Token")});
    natsMsg_Destroy(raw);
  }
  return messages;
}

std::map<std::string, int> AuditStream::Ids(const std::string& subject) {
  std::map<std::string, int> ids;
  for (const StoredNatsMessage& message : Messages()) {
    if (message.subject == subject) ++ids[message.msg_id];
  }
  return ids;
}

}  // namespace lattice::testing
