#include "userspace/nats/agent_login.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace lattice::nats {
namespace {

std::string TextOf(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::optional<AgentLogin> LoginOfToken(absl::string_view token) {
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '.');
  std::string payload;
  if (parts.size() != 3 || !absl::WebSafeBase64Unescape(parts[1], &payload)) return std::nullopt;
  const nlohmann::json claims = nlohmann::json::parse(payload, nullptr, /*allow_exceptions=*/false);
  if (!claims.is_object()) return std::nullopt;
  AgentLogin login{.user = TextOf(claims, "sub"), .password = TextOf(claims, "nats")};
  if (login.user.empty() || login.password.empty()) return std::nullopt;
  return login;
}

std::string AgentInbox(absl::string_view agent) {
  return absl::StrCat("_INBOX_", absl::StrReplaceAll(agent, {{".", "="}}));
}

}  // namespace lattice::nats
