#include "tools/lattice/event_line.h"

#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/lattice/format.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

std::string Text(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_string() ? Printable(found->get_ref<const std::string&>()) : "";
}

uint64_t Number(const Json& event, const char* key) {
  const auto found = event.find(key);
  return found != event.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string Endpoint(const std::string& address, uint64_t port) {
  const bool v6 = absl::StrContains(address, ":");
  const std::string host = v6 && port != 0 ? absl::StrCat("[", address, "]") : address;
  return port == 0 ? host : absl::StrCat(host, ":", port);
}

// "2026-11-24T19:07:10.120133054Z" -> "2026-11-24 19:07:10.120"
std::string ShortTime(std::string ts) {
  if (ts.size() > 23) ts.resize(23);
  if (ts.size() > 10) ts[10] = ' ';
  return ts;
}

std::string What(const Json& event, const std::string& kind) {
  if (kind == "policy") return absl::StrCat("policy generation ", Number(event, "policyGeneration"), " in force");
  if (kind == "loss") {
    return absl::StrCat(Number(event, "count"), " records are lost: ", Text(event, "stage"));
  }
  const std::string reason = Text(event, "verdict") == "drop" ? Text(event, "reason") : "";
  return absl::StrCat(Text(event, "protocol"), " ", Endpoint(Text(event, "srcIp"), Number(event, "srcPort")), " -> ",
                      Endpoint(Text(event, "dstIp"), Number(event, "dstPort")), "  ",
                      HumanBytes(Number(event, "bytes")), "  ", Text(event, "rule"), reason.empty() ? "" : " ", reason);
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {  // U+0080 to U+009F, CSI among them
      out += '?';
      ++i;
    } else {
      out += byte < 0x20 || byte == 0x7f ? '?' : text[i];
    }
  }
  return out;
}

absl::StatusOr<std::string> EventLine(absl::string_view json) {
  const Json event = Json::parse(json.begin(), json.end(), nullptr, /*allow_exceptions=*/false);
  if (!event.is_object() || !event.contains("eventId")) return absl::InternalError("the answer holds no record");
  const std::string kind = Text(event, "event");
  return absl::StrFormat("%s  %-12s %-5s %-7s %s\n", ShortTime(Text(event, "ts")), Text(event, "agentId"),
                         Text(event, "verdict"), kind, What(event, kind));
}

}  // namespace lattice::cli
