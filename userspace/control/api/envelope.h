// The form of every JSON answer: {"code":0,"msg":"","data":…}; an error has the HTTP status as its code. Any thread.
#ifndef USERSPACE_CONTROL_API_ENVELOPE_H_
#define USERSPACE_CONTROL_API_ENVELOPE_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "userspace/http/message.h"

namespace lattice::control {

// `data` is JSON.
http::Response Success(absl::string_view data);
http::Response Failure(int status, absl::string_view message);
// The HTTP status that says the same: InvalidArgument 400, Unauthenticated 401, PermissionDenied 403, NotFound 404,
// AlreadyExists and FailedPrecondition 409, ResourceExhausted 429, Unavailable 503, DeadlineExceeded 504, else 500.
http::Response Failure(const absl::Status& status);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_API_ENVELOPE_H_
