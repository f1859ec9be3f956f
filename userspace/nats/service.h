// Answers requests on NATS subjects, as one of a queue group, and publishes plain messages. For the control plane.
//
//   auto service = Service::Create({.connection = …, .queue = "lattice_queue", .subjects = {"lattice.signals.peer.*"},
//                                   .handle = [](const ServiceRequest& r) -> absl::StatusOr<std::string> { … }});
//
// Promise: it is connected whenever there is a server, for ever, and each request is answered: by the handler's text,
// or by an empty body with the headers "error" (the text) and "status: 400"; but for one that wants its answer anywhere
// else than on an inbox, since we may publish where its sender may not. The handler runs on a thread of the service and
// may block; requests wait for each other.
#ifndef USERSPACE_NATS_SERVICE_H_
#define USERSPACE_NATS_SERVICE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {

struct ServiceRequest {
  absl::string_view subject;
  absl::string_view payload;
};

struct ServiceOptions {
  Options connection;
  std::string queue;
  std::vector<std::string> subjects;
  // Not empty: it answers by itself what a JetStreamPublisher asks of that stream (holds.h). `subjects` must hold
  // "lattice.signals.peer.holds" and "lattice.signals.peer.stream".
  std::string stream;
  size_t max_request_bytes = 64 << 10;  // a larger request is an error to its sender
  std::function<absl::StatusOr<std::string>(const ServiceRequest&)> handle;
};

class Service {
 public:
  // InvalidArgument as Connection::Create. Does not wait for the server.
  static absl::StatusOr<std::unique_ptr<Service>> Create(ServiceOptions options);
  // Waits for the request that is being handled.
  ~Service();

  // Unavailable when not connected. Any thread.
  absl::Status Publish(const std::string& subject, absl::string_view payload);
  bool connected() const;

 private:
  class Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  const std::unique_ptr<Impl> impl_;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_SERVICE_H_
