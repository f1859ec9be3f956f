#include "userspace/nats/holds.h"

#include <memory>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
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

// The answer's text.
absl::StatusOr<std::string> Ask(natsConnection* connection, const char* subject, const std::string& question,
                                absl::Duration timeout) {
  natsMsg* raw = nullptr;
  const natsStatus status =
      natsConnection_Request(&raw, connection, subject, question.data(), static_cast<int>(question.size()),
                             absl::ToInt64Milliseconds(timeout));
  const MsgPtr answer(raw);
  if (status == NATS_NO_RESPONDERS) return absl::NotFoundError(absl::StrCat("nobody answers on ", subject));
  LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("asking on ", subject)));
  const char* error = nullptr;
  if (natsMsgHeader_Get(answer.get(), "error", &error) != NATS_OK || error == nullptr) {
    return std::string(natsMsg_GetData(answer.get()), static_cast<size_t>(natsMsg_GetDataLength(answer.get())));
  }
  // One that is older than the question.
  if (absl::string_view(error).find("there is no request") == 0) return absl::NotFoundError(error);
  return absl::UnavailableError(absl::StrCat(subject, ": ", error));
}

// A context whose questions to the server wait for `timeout`.
absl::StatusOr<std::unique_ptr<jsCtx, ContextDeleter>> MakeContext(natsConnection* connection, absl::Duration timeout) {
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = absl::ToInt64Milliseconds(timeout);
  jsCtx* raw = nullptr;
  LATTICE_RETURN_IF_ERROR(ToStatus(natsConnection_JetStream(&raw, connection, &options), "NATS JetStream"));
  return std::unique_ptr<jsCtx, ContextDeleter>(raw);
}

}  // namespace

absl::StatusOr<Held> AskHolds(natsConnection* connection, uint64_t sequence, absl::string_view msg_id,
                              absl::Duration timeout) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text,
                           Ask(connection, kHoldsSubject, absl::StrCat(sequence, " ", msg_id), timeout));
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (text == kNames[i]) return static_cast<Held>(i);
  }
  return absl::UnavailableError(absl::StrCat(kHoldsSubject, ": no answer in the answer"));
}

absl::StatusOr<StreamExtent> AskStreamExtent(natsConnection* connection, absl::Duration timeout) {
  LATTICE_ASSIGN_OR_RETURN(const std::string text, Ask(connection, kStreamSubject, "", timeout));
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ');
  StreamExtent state;
  if (words.size() != 3 || !absl::SimpleAtoi(words[0], &state.created_ns) ||
      !absl::SimpleAtoi(words[1], &state.first) || !absl::SimpleAtoi(words[2], &state.last)) {
    return absl::UnavailableError(absl::StrCat(kStreamSubject, ": no answer in the answer"));
  }
  return state;
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
  LATTICE_ASSIGN_OR_RETURN(const auto context, MakeContext(connection, timeout));
  LATTICE_ASSIGN_OR_RETURN(const Held held, LookHolds(context.get(), stream, sequence, question.substr(blank + 1)));
  return std::string(kNames[static_cast<size_t>(held)]);
}

absl::StatusOr<std::string> AnswerStreamExtent(natsConnection* connection, const std::string& stream,
                                               absl::Duration timeout) {
  LATTICE_ASSIGN_OR_RETURN(const auto context, MakeContext(connection, timeout));
  jsStreamInfo* info = nullptr;
  const natsStatus status = js_GetStreamInfo(&info, context.get(), stream.c_str(), nullptr, nullptr);
  LATTICE_RETURN_IF_ERROR(ToStatus(status, absl::StrCat("asking for the stream ", stream)));
  std::string answer = absl::StrCat(info->Created, " ", info->State.FirstSeq, " ", info->State.LastSeq);
  jsStreamInfo_Destroy(info);
  return answer;
}

}  // namespace lattice::nats
