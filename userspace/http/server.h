// An HTTP/1.1 server inside an EventLoop, on a TCP address or a Unix socket.
//
//   LATTICE_ASSIGN_OR_RETURN(auto server, http::Server::Create(loop, {.address = flags.metrics_addr,
//                                                                   .flag = "--metrics-addr"}));
//   server->Handle("GET", "/healthz", [](const http::Request&) { return http::Response::Text("ok\n"); });
//
// Promise: a client can neither block the loop nor hold more than its bounded share: bodies, headers, connections and
// the time to send a request are limited. Nor can clients that send nothing keep the others out: where connections are
// short, the one that has kept us waiting longest makes room. Handlers run on the loop's thread and must not block.
//
// Answers it gives by itself: 404 unknown path, 405 (with Allow) known path and other method, 413 body too large, 431
// header too large, 400 malformed. HEAD is served by the GET handler. What is not HTTP at all or runs into a time limit
// is cut.
//
// One thread: the loop's. The loop must outlive the server.
#ifndef USERSPACE_HTTP_SERVER_H_
#define USERSPACE_HTTP_SERVER_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/http/message.h"
#include "userspace/http/stream.h"

namespace lattice::http {

struct ServerOptions {
  // "127.0.0.1:9478", "[::1]:9478", "localhost:0" (port 0: any free one) or, beginning with '/', the path of a
  // Unix socket. The socket is made with mode 0600 in a folder that exists; one left by a dead process is replaced, a
  // live one is refused.
  std::string address;
  // How the operator names that address, for errors: "--metrics-addr".
  std::string flag;

  size_t max_body_bytes = 1 << 20;
  // At least 2. When the last is taken, the oldest that has not sent a whole request (or has not taken its answer in a
  // second) is closed; when there is none, more wait in the listen queue.
  int max_connections = 128;
  // One more closes the oldest of that address, as above; when there is none, the new one. Not for a Unix socket.
  int max_connections_per_address = 64;
  // From the connection's start, or its last answer, to the end of the next request.
  absl::Duration receive_timeout = absl::Seconds(10);
  // From the end of a request until the client has taken the whole answer. A stream has no limit.
  absl::Duration answer_timeout = absl::Seconds(60);
  // An answer of which the client takes nothing for this long is cut. Whole seconds. A stream that waits for
  // its producer has no limit.
  absl::Duration send_timeout = absl::Seconds(30);

  // Makes the answers that the server gives by itself.
  std::function<Response(int status, absl::string_view message)> error = &Response::Error;
};

using Handler = std::function<Response(const Request&)>;
// Gives the answer: once, from any thread, now or later, while the loop exists. When the client has left or the server
// is gone it does nothing.
using Responder = std::function<void(Response)>;
using LateHandler = std::function<void(Request, Responder)>;

class Server {
 public:
  // InvalidArgument: the address, with the flag. FailedPrecondition: not an address of this host. AlreadyExists: in
  // use; names flag, address and remedy.
  static absl::StatusOr<std::unique_ptr<Server>> Create(EventLoop& loop, const ServerOptions& options);
  // Ends all connections (streams get Finished()) and removes its Unix socket.
  ~Server();

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // `path` is matched as a whole; with "/*" at its end it is the beginning of all that have something in the place of
  // the star. The whole path goes before a beginning, a longer beginning before a shorter one.
  void Handle(const std::string& method, const std::string& path, Handler handler);
  // For what blocks: `handler` hands the request to another thread. Until the answer comes, the connection waits, at
  // most answer_timeout.
  void HandleLater(const std::string& method, const std::string& path, LateHandler handler);

  // Where it listens, with the actual port: "127.0.0.1:40123", "[::1]:40123" or the path. http::Client takes it.
  const std::string& address() const;
  // Connections open now.
  int connections() const;

 private:
  class Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lattice::http

#endif  // USERSPACE_HTTP_SERVER_H_
