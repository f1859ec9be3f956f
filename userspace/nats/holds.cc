#include "userspace/nats/holds.h"

#include <memory>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/nats/options.h"

namespace lattice::nats {
namespace {

constexpr char kMsgIdHeader[] = "Nats-Msg-Id";
constexpr absl::string_view kNames[] = {"same", "other", "none"};  // in the order of Held

struct MsgDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using MsgPtr = std::unique_ptr<natsMsg, MsgDeleter>;

struct ContextDeleter {
  void operator()(jsCtx* context) const { jsCtx_Destroy(context); }
};

}  // namespace

absl::StatusOr<Held> AskHolds(natsConnection* connection, uint64_t sequence, absl::string_view msg_id,
                              absl::Duration timeout) {
  const std::string question = absl::StrCat(sequence, " ", msg_id);
  natsMsg* raw = nullptr;
  const natsStatus status =
      natsConnection_Request(&raw, connection, kHoldsSubject, question.data(), static_cast<int>(question.size()),
                             absl::ToInt64Milliseconds(timeout));
  const MsgPtr answer(raw);
  if (status == NATS_NO_RESPONDERS) return absl::NotFoundError(absl::StrCat("nobody answers on ", kHoldsSubject));
  LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("asking on ", kHoldsSubject)));
  const absl::string_view text(natsMsg_GetData(answer.get()), static_cast<size_t>(natsMsg_GetDataLength(answer.get())));
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (text == kNames[i]) return static_cast<Held>(i);
  }
  const char* error = nullptr;
  if (natsMsgHeader_Get(answer.get(), "error", &error) != NATS_OK || error == nullptr) error = "no answer in it";
  // One that is older than the question.
  if (absl::string_view(error).find("there is no request") == 0) return absl::NotFoundError(error);
  return absl::UnavailableError(absl::StrCat(kHoldsSubject, ": ", error));
}

absl::StatusOr<Held> LookHolds(jsCtx* context, const std::string& stream, uint64_t sequence, absl::string_view msg_id) {
  natsMsg* raw = nullptr;
  jsErrCode code = {};
  const natsStatus status = js_GetMsg(&raw, context, stream.c_str(), sequence, nullptr, &code);
  const MsgPtr message(raw);
  if (status == NATS_NOT_FOUND || code == JSNoMessageFoundErr) return Held::kNone;
  LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("reading from the stream ", stream)));
  const char* id = nullptr;
  const bool same = natsMsgHeader_Get(message.get(), kMsgIdHeader, &id) == NATS_OK && msg_id == id;
  return same ? Held::kSame : Held::kOther;
}

absl::StatusOr<std::string> AnswerHolds(natsConnection* connection, const std::string& stream,
                                        absl::string_view question, absl::Duration timeout) {
  const size_t blank = question.find(' ');
  uint64_t sequence = 0;
  if (blank == absl::string_view::npos || !absl::SimpleAtoi(question.substr(0, blank), &sequence) || sequence == 0) {
    return absl::InvalidArgumentError("expected the number of a message, a blank and its id");
  }
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = absl::ToInt64Milliseconds(timeout);
  jsCtx* raw = nullptr;
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_JetStream(&raw, connection, &options), "NATS JetStream"));
  const std::unique_ptr<jsCtx, ContextDeleter> context(raw);
  LATTICE_ASSIGN_OR_RETURN(const Held held, LookHolds(context.get(), stream, sequence, question.substr(blank + 1)));
  return std::string(kNames[static_cast<size_t>(held)]);
}

}  // namespace lattice::nats
