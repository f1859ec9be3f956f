// Asks over NATS and waits for the answer; and hears of messages on some subjects. For the command line.
//
//   LATTICE_ASSIGN_OR_RETURN(auto nats, nats::Requester::Create({.urls = {url}}, {"lattice.signals.config"}));
//   LATTICE_ASSIGN_OR_RETURN(std::string answer, nats->Request("lattice.signals.peer.register", body));
//
// Promise: every call ends. A lost connection is made again by the next call. One thread; the library's callbacks only
// poke event_fd().
#ifndef USERSPACE_NATS_REQUESTER_H_
#define USERSPACE_NATS_REQUESTER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/nats/connection.h"

namespace lattice::nats {

struct Link;

class Requester {
 public:
  // InvalidArgument as Connection::Create. Does not wait for the server.
  static absl::StatusOr<std::unique_ptr<Requester>> Create(const Options& options, std::vector<std::string> subjects);
  ~Requester();
  Requester(const Requester&) = delete;
  Requester& operator=(const Requester&) = delete;

  // The body of the answer. Where nobody answers on `subject` it tries 5 times within 3 s, then Unavailable, as
  // when there is no server. FailedPrecondition: the answer is an error, with its text.
  absl::StatusOr<std::string> Request(const std::string& subject, absl::string_view body,
                                      absl::Duration timeout = absl::Seconds(5));

  // Readable when a message came on one of the subjects since the last TakePoke().
  int event_fd() const { return event_fd_; }
  bool TakePoke();
  // Connects and subscribes when it is not; the events of a time without connection are lost.
  absl::Status EnsureConnected();

 private:
  Requester(const Options& options, std::vector<std::string> subjects);

  const Options options_;
  const std::vector<std::string> subjects_;
  // Never closed: a callback of the library may come after the end of the connection.
  const int event_fd_;
  std::unique_ptr<Link> link_;
};

}  // namespace lattice::nats

#endif  // USERSPACE_NATS_REQUESTER_H_
