#include "tools/lattice/audit_evidence.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/audit/signing.h"
#include "userspace/base/status.h"
#include "userspace/http/client.h"

namespace lattice::cli {
namespace {

using Json = nlohmann::json;

constexpr int kMostDigests = 1000;

// Never throws: what is not there or of another type is "".
std::string Text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

uint64_t Number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

absl::StatusOr<Json> ListOf(absl::string_view text, absl::string_view what) {
  const Json json = Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("list") || !json["list"].is_array()) {
    return absl::InternalError(absl::StrCat("the control plane's answer for ", what, " has no list"));
  }
  return json["list"];
}

// A line that names boot, number and hash.
absl::StatusOr<audit::KnownLine> LineOf(const Json& object) {
  audit::KnownLine line{.boot = Text(object, "boot"), .seq = Number(object, "seq"), .h = Text(object, "h")};
  std::string error;
  const std::string ts = Text(object, "ts");
  if (line.boot.empty() || line.seq == 0 || line.h.empty() ||
      !absl::ParseTime(absl::RFC3339_full, ts, &line.ts, &error)) {
    return absl::InternalError("the control plane has a head without boot, seq, h or ts");
  }
  return line;
}

}  // namespace

absl::StatusOr<Evidence> ParseEvidence(absl::string_view node, absl::string_view sources_json,
                                       absl::string_view digests_json) {
  Evidence evidence;
  LATTICE_ASSIGN_OR_RETURN(const Json sources, ListOf(sources_json, "sources"));
  for (const Json& source : sources) {
    if (!source.is_object() || Text(source, "node") != node) continue;
    const auto head = source.find("head");
    if (head == source.end() || !head->is_object()) continue;  // it sent none yet
    Json object = *head;
    object["boot"] = Text(source, "boot");
    LATTICE_ASSIGN_OR_RETURN(audit::KnownLine line, LineOf(object));
    evidence.lines.push_back(std::move(line));
  }
  LATTICE_ASSIGN_OR_RETURN(const Json digests, ListOf(digests_json, "digests"));
  std::vector<std::pair<absl::Time, std::string>> keys;
  for (const Json& digest : digests) {
    if (!digest.is_object() || Text(digest, "node") != node) continue;
    LATTICE_ASSIGN_OR_RETURN(audit::KnownLine line, LineOf(digest));
    if (const std::string text = Text(digest, "digest"); !text.empty()) {
      evidence.digests.push_back({.boot = line.boot, .text = text, .ts = line.ts});
    }
    const absl::StatusOr<std::string> key = audit::ParsePublicKey(Text(digest, "publicKey"));
    if (key.ok()) keys.push_back({line.ts, *key});
    evidence.lines.push_back(std::move(line));
  }
  std::sort(keys.begin(), keys.end());
  for (auto& [ts, key] : keys) {
    std::vector<std::string>& all = evidence.public_keys;
    if (std::find(all.begin(), all.end(), key) == all.end()) all.push_back(std::move(key));
  }
  return evidence;
}

absl::StatusOr<Evidence> FetchEvidence(const ServerClient& server, absl::string_view node) {
  LATTICE_ASSIGN_OR_RETURN(const std::string sources, server.Get("/api/v1/audit/sources"));
  LATTICE_ASSIGN_OR_RETURN(
      const std::string digests,
      server.Get(absl::StrCat("/api/v1/audit/digests?limit=", kMostDigests, "&node=", http::EscapeQuery(node))));
  return ParseEvidence(node, sources, digests);
}

}  // namespace lattice::cli
