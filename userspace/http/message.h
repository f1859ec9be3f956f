// What a handler of http::Server gets and gives.
#ifndef USERSPACE_HTTP_MESSAGE_H_
#define USERSPACE_HTTP_MESSAGE_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace lattice::http {

class StreamSource;

inline constexpr char kText[] = "text/plain; charset=utf-8";
inline constexpr char kJson[] = "application/json";
inline constexpr char kJsonLines[] = "application/x-ndjson";

struct Request {
  std::string method;                                        // "GET" also for HEAD: the server leaves the body out
  std::string path;                                          // unescaped, without the query
  std::vector<std::pair<std::string, std::string>> query;    // unescaped, in order; "?a" gives {"a", ""}
  std::vector<std::pair<std::string, std::string>> headers;  // in order
  std::string body;
  std::string peer;               // "192.0.2.1:4711"; empty on a Unix socket
  std::optional<uid_t> peer_uid;  // Unix socket only

  // The first value of that name; nothing if there is none. Header names are compared without case.
  std::optional<absl::string_view> Param(absl::string_view name) const;
  std::optional<absl::string_view> Header(absl::string_view name) const;
};

struct Response {
  int status = 200;
  std::string content_type = kText;
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
  // If set, the body comes from here, chunked, until it ends or the client leaves; `body` is not used.
  std::shared_ptr<StreamSource> stream;

  static Response Text(std::string body);
  static Response Json(std::string body);
  // `message` and a line end as text/plain; the client shows it as the reason.
  static Response Error(int status, absl::string_view message);
  static Response Stream(std::string content_type, std::shared_ptr<StreamSource> source);
};

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_MESSAGE_H_
