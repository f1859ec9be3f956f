// A blocking HTTP client for the CLI: the server is "host:port", an "http://" or "https://" address without a path, or
// the path of a Unix socket.
//
//   http::Client client("/run/lattice/dp-wg0.sock");
//   LATTICE_ASSIGN_OR_RETURN(http::ClientResponse answer, client.Get("/status"));
//
// Promise: every call ends, by the answer or by its timeout (ForEachLine has one for its beginning, and ends with the
// stream). No proxy, no redirect, no environment is followed. One thread at a time.
#ifndef USERSPACE_HTTP_CLIENT_H_
#define USERSPACE_HTTP_CLIENT_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/http/message.h"

namespace lattice::http {

struct ClientResponse {
  int status = 0;
  std::string content_type;
  std::string body;
};

struct ClientOptions {
  absl::Duration timeout = absl::Seconds(10);  // the whole call; of ForEachLine only until the answer begins
  size_t max_body_bytes = 64 << 20;            // a larger answer is an error
  // Of every request: {"Authorization", "Bearer …"}.
  std::vector<std::pair<std::string, std::string>> headers;
};

class Client {
 public:
  explicit Client(std::string address, ClientOptions options = {});

  // `target` is the path with its query, escaped (see EscapeQuery). Any HTTP status is an answer, not an error.
  // Unavailable: nobody listens (the text says at which address); PermissionDenied: the socket is not ours to open;
  // DeadlineExceeded: timeout.
  absl::StatusOr<ClientResponse> Get(absl::string_view target) const;
  absl::StatusOr<ClientResponse> Post(absl::string_view target, absl::string_view body,
                                      absl::string_view content_type = kJson) const;

  // `method` is "PUT", "DELETE" and the like.
  absl::StatusOr<ClientResponse> Send(const std::string& method, absl::string_view target, absl::string_view body,
                                      absl::string_view content_type = kJson) const;

  // GET, and `on_line` for each line of the answer as it comes (without its end), until the body ends or `on_line`
  // returns false; both are OK. A status other than 2xx is the error StatusOf().
  absl::Status ForEachLine(absl::string_view target, const std::function<bool(absl::string_view)>& on_line) const;

  const std::string& address() const { return address_; }

 private:
  std::string address_;
  ClientOptions options_;
};

// OK for 2xx; else the closest code (400 InvalidArgument, 401 Unauthenticated, 403 PermissionDenied, 404 NotFound, 409
// FailedPrecondition, 413 ResourceExhausted, 503 Unavailable, other Internal) with the body, which the server wrote for
// people.
absl::Status StatusOf(const ClientResponse& response);

// `text` percent-encoded for a query value.
std::string EscapeQuery(absl::string_view text);

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_CLIENT_H_
