#include "userspace/http/message.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lattice::http {

std::optional<absl::string_view> Request::Param(absl::string_view name) const {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::optional<absl::string_view> Request::Header(absl::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return std::nullopt;
}

Response Response::Text(std::string body) {
  return {.body = std::move(body)};
}

Response Response::Json(std::string body) {
  return {.content_type = kJson, .body = std::move(body)};
}

Response Response::Error(int status, absl::string_view message) {
  return {.status = status, .body = absl::StrCat(message, "\n")};
}

Response Response::Stream(std::string content_type, std::shared_ptr<StreamSource> source) {
  return {.content_type = std::move(content_type), .stream = std::move(source)};
}

}  // namespace lattice::http
