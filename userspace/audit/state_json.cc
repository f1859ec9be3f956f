#include "userspace/audit/state_json.h"

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace lattice::audit {

absl::StatusOr<std::string> StateObject::Text(const std::string& key) const {
  const auto found = texts.find(key);
  if (found == texts.end()) return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": expected a string"));
  return found->second;
}

absl::StatusOr<uint64_t> StateObject::Number(const std::string& key) const {
  const auto found = numbers.find(key);
  if (found == numbers.end()) return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": expected a number"));
  return found->second;
}

std::string EncodeState(const StateObject& object) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, text] : object.texts) json[key] = text;
  for (const auto& [key, number] : object.numbers) json[key] = number;
  // Bad UTF-8 in a name is replaced: dump() would throw otherwise.
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

absl::StatusOr<StateObject> DecodeState(absl::string_view text) {
  const nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("not a JSON object");
  StateObject object;
  for (const auto& [key, value] : json.items()) {
    if (value.is_string()) object.texts[key] = value.get<std::string>();
    if (value.is_number_unsigned()) object.numbers[key] = value.get<uint64_t>();
  }
  return object;
}

}  // namespace lattice::audit
