#include "userspace/control/registry/wire_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace lattice::control {
namespace {

// The deepest nesting of brackets outside of strings. The parser builds its value recursively when it is freed, so the
// depth is bounded before it is built.
int Depth(absl::string_view text) {
  int depth = 0, deepest = 0;
  bool in_string = false, escaped = false;
  for (const char c : text) {
    if (in_string) {
      if (!escaped && c == '"') in_string = false;
      escaped = !escaped && c == '\\';
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '{' || c == '[') deepest = std::max(deepest, ++depth);
    if (c == '}' || c == ']') --depth;
  }
  return deepest;
}

absl::Status FieldError(const char* key, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat("\"", key, "\": expected ", expected));
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseWireObject(absl::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat("the JSON has ", text.size(), " bytes; at most ", max_bytes));
  }
  if (Depth(text) > kMaxWireDepth) {
    return absl::InvalidArgumentError(absl::StrCat("the JSON is nested deeper than ", kMaxWireDepth));
  }
  nlohmann::json json = nlohmann::json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::InvalidArgumentError("expected a JSON object");
  return json;
}

absl::StatusOr<std::string> WireFields::Text(const char* key, size_t max_bytes) const {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return std::string();
  const std::string* text = found->get_ptr<const std::string*>();
  if (text == nullptr) return FieldError(key, "a string");
  if (text->size() > max_bytes) return FieldError(key, absl::StrCat("at most ", max_bytes, " bytes"));
  return *text;
}

absl::StatusOr<int64_t> WireFields::Number(const char* key, int64_t least, int64_t most, int64_t otherwise) const {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return otherwise;
  const std::string expected = absl::StrCat("a whole number from ", least, " to ", most);
  if (!found->is_number_integer()) return FieldError(key, expected);
  if (found->is_number_unsigned() && found->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) {
    return FieldError(key, expected);
  }
  const int64_t number = found->get<int64_t>();
  if (number < least || number > most) return FieldError(key, expected);
  return number;
}

absl::StatusOr<std::vector<std::string>> WireFields::Texts(const char* key, size_t max_count, size_t max_bytes) const {
  std::vector<std::string> texts;
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return texts;
  if (!found->is_array()) return FieldError(key, "a list of strings");
  if (found->size() > max_count) return FieldError(key, absl::StrCat("at most ", max_count, " entries"));
  for (const nlohmann::json& entry : *found) {
    const std::string* text = entry.get_ptr<const std::string*>();
    if (text == nullptr) return FieldError(key, "a list of strings");
    if (text->size() > max_bytes) return FieldError(key, absl::StrCat("entries of at most ", max_bytes, " bytes"));
    texts.push_back(*text);
  }
  return texts;
}

std::string ToText(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace lattice::control
