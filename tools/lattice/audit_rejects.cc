// lattice audit rejects: messages that the control plane did not take as records.
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/format.h"
#include "tools/lattice/rejects.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string PathOf(uint64_t limit) {
  return absl::StrCat("/api/v1/audit/rejects?limit=", limit);
}

// NODE/BOOT/SEQ of what may be any bytes; a node may have a slash in its name.
void ReadEventId(const std::string& payload, RejectedMessage& message) {
  const Json json = Json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return;
  const std::string id = Text(json, "eventId");
  const size_t last = id.rfind('/');
  const size_t middle = last == std::string::npos || last == 0 ? std::string::npos : id.rfind('/', last - 1);
  uint64_t seq = 0;
  if (middle == std::string::npos || !absl::SimpleAtoi(id.substr(last + 1), &seq)) return;
  message.node = id.substr(0, middle);
  message.boot = id.substr(middle + 1, last - middle - 1);
  message.seq = seq;
}

}  // namespace

absl::StatusOr<std::vector<RejectedMessage>> ReadRejects(const ServerClient& server, uint64_t limit) {
  LATTICE_ASSIGN_OR_RETURN(const std::string data, server.Get(PathOf(limit)));
  const Json answer = Json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!answer.is_object() || !answer.contains("list") || !answer["list"].is_array()) {
    return absl::InternalError("the answer is not one that this version knows");
  }
  std::vector<RejectedMessage> messages;
  for (const Json& reject : answer["list"]) {
    if (!reject.is_object()) return absl::InternalError("a reject is not one that this version knows");
    RejectedMessage message{.time = Text(reject, "ts"),
                            .reason = Text(reject, "reason"),
                            .detail = Text(reject, "detail"),
                            .subject = Text(reject, "subject")};
    ReadEventId(Text(reject, "payload"), message);
    messages.push_back(std::move(message));
  }
  return messages;
}

ExitCode RunAuditRejects(const Words& words) {
  Args args("lattice audit rejects",
            "Messages that the control plane did not take as records, the newest first, and why.");
  ServerClient server(args, ServerClient::Login::kToken);
  const uint64_t& limit = args.Number("limit", 100, absl::StrCat("Messages at most, up to ", kMaxRejects, "."));
  const bool& json = args.Switch("json", "Print the control plane's JSON, with what each message said.");
  if (const absl::Status parsed = args.Parse(words); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  if (json) {
    const absl::StatusOr<std::string> data = server.Get(PathOf(limit));
    if (!data.ok()) return Fail(data.status());
    absl::PrintF("%s\n", *data);
    return kOk;
  }
  const absl::StatusOr<std::vector<RejectedMessage>> messages = ReadRejects(server, limit);
  if (!messages.ok()) return Fail(messages.status());
  Table table({"TIME", "REASON", "SUBJECT", "EVENT", "DETAIL"});
  for (const RejectedMessage& message : *messages) {
    const std::string event = message.seq == 0 ? "-" : absl::StrCat(message.node, "/", message.boot, "/", message.seq);
    table.Row({Printable(message.time), Printable(message.reason), Printable(message.subject), Printable(event),
               Printable(message.detail)});
  }
  absl::PrintF("%s", table.empty() ? "no message was rejected\n" : table.ToString());
  return kOk;
}

}  // namespace lattice::cli
