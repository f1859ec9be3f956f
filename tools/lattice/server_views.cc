#include "tools/lattice/server_views.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tools/lattice/event_line.h"
#include "tools/lattice/format.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

absl::Status Unknown() {
  return absl::InternalError("the control plane's answer is not understood; is it of another version?");
}

absl::StatusOr<Json> Parse(absl::string_view text) {
  Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Unknown();
  return json;
}

absl::StatusOr<Json> ParseList(absl::string_view text) {
  LATTICE_ASSIGN_OR_RETURN(Json json, Parse(text));
  const auto list = json.find("list");
  if (list == json.end() || !list->is_array()) return Unknown();
  for (const Json& entry : *list) {
    if (!entry.is_object()) return Unknown();
  }
  return *list;
}

// "-" for what is missing or empty.
std::string Cell(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return "-";
  if (found->is_number_unsigned()) return HumanCount(found->get<uint64_t>());
  if (!found->is_string() || found->get_ref<const std::string&>().empty()) return "-";
  return Printable(found->get_ref<const std::string&>());  // agents chose some of it
}

uint64_t Count(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

}  // namespace

absl::StatusOr<std::string> DataText(absl::string_view data, const std::string& key) {
  LATTICE_ASSIGN_OR_RETURN(const Json json, Parse(data));
  const auto found = json.find(key);
  if (found == json.end() || !found->is_string()) return Unknown();
  return found->get<std::string>();
}

absl::StatusOr<std::string> TokenText(absl::string_view data) {
  LATTICE_ASSIGN_OR_RETURN(const std::string token, DataText(data, "token"));
  return token + "\n";
}

absl::StatusOr<std::string> TokensTable(absl::string_view data) {
  LATTICE_ASSIGN_OR_RETURN(const Json list, ParseList(data));
  Table table({"ID", "STATE", "AGENT", "NAMESPACE", "EXPIRES", "USED BY", "USED", "MADE BY"});
  for (const Json& token : list) {
    table.Row({Cell(token, "id"), Cell(token, "state"), Cell(token, "agentName"), Cell(token, "namespace"),
               Cell(token, "expiresAt"), Cell(token, "usedBy"), Cell(token, "usedAt"), Cell(token, "createdBy")});
  }
  return table.empty() ? "no enrolment tokens; make one: lattice token create\n" : table.ToString();
}

absl::StatusOr<std::string> AgentsTable(absl::string_view data) {
  LATTICE_ASSIGN_OR_RETURN(const Json list, ParseList(data));
  Table table({"NAME", "STATUS", "ADDRESS", "ENDPOINT", "HOST", "HEARTBEAT", ">FLOWS", ">DENIED", ">BYTES"});
  for (const Json& agent : list) {
    table.Row({Cell(agent, "name"), Cell(agent, "status"), Cell(agent, "address"), Cell(agent, "endpoint"),
               Cell(agent, "hostname"), Cell(agent, "lastHeartbeat"), Cell(agent, "flows"), Cell(agent, "denied"),
               HumanBytes(Count(agent, "bytes"))});
  }
  return table.empty() ? "no agents yet; enroll one: lattice token create, then lattice up\n" : table.ToString();
}

absl::StatusOr<std::string> PolicyRules(absl::string_view data) {
  LATTICE_ASSIGN_OR_RETURN(const Json json, Parse(data));
  const auto rules = json.find("rules");
  if (rules == json.end() || !rules->is_array()) return Unknown();
  const uint64_t version = Count(json, "version");
  std::string text = version == 0
                         ? "# no policy was ever set: everything is denied\n"
                         : absl::StrCat("# version ", version, ", ", Cell(json, "updatedAt"), " by ",
                                        Cell(json, "updatedBy"), rules->empty() ? ": everything is denied" : "", "\n");
  for (const Json& rule : *rules) {
    if (rule.is_string()) absl::StrAppend(&text, rule.get_ref<const std::string&>(), "\n");
  }
  return text;
}

}  // namespace lattice::cli
