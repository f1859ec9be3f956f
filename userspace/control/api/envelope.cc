#include "userspace/control/api/envelope.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "userspace/control/audit/event_json.h"

namespace lattice::control {

http::Response Success(absl::string_view data) {
  http::Response response = http::Response::Json(absl::StrCat("{\"code\":0,\"msg\":\"\",\"data\":", data, "}\n"));
  // What one user may see is not for a cache on the way.
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

namespace {

// When an export or a live tail ends nobody knows; soon enough for a person, seldom enough for a program.
constexpr char kRetryAfterSeconds[] = "5";

}  // namespace

http::Response Failure(int status, absl::string_view message) {
  std::string body = absl::StrCat("{\"code\":", status, ",\"msg\":");
  AppendJsonText(message, body);
  body += ",\"data\":null}\n";
  http::Response response = http::Response::Json(std::move(body));
  response.status = status;
  response.headers.emplace_back("Cache-Control", "no-store");
  return response;
}

http::Response Failure(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return Failure(400, status.message());
    case absl::StatusCode::kUnauthenticated:
      return Failure(401, status.message());
    case absl::StatusCode::kPermissionDenied:
      return Failure(403, status.message());
    case absl::StatusCode::kNotFound:
      return Failure(404, status.message());
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kFailedPrecondition:
      return Failure(409, status.message());
    case absl::StatusCode::kResourceExhausted: {
      http::Response response = Failure(429, status.message());
      response.headers.emplace_back("Retry-After", kRetryAfterSeconds);
      return response;
    }
    case absl::StatusCode::kUnavailable:
      return Failure(503, status.message());
    case absl::StatusCode::kDeadlineExceeded:
      return Failure(504, status.message());
    default:
      return Failure(500, status.message());
  }
}

}  // namespace lattice::control
