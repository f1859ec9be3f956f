// The nats-server that latticed runs itself when it is given no other one: JetStream in the data folder, and the users
// that nats_users.h tells it of.
//
// Promise: it runs while this object lives: one that ends is started again. It never outlives latticed, also when that
// is killed. Its end is waited for. One thread: the loop's.
#ifndef USERSPACE_CONTROL_SERVER_NATS_CHILD_H_
#define USERSPACE_CONTROL_SERVER_NATS_CHILD_H_

#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/unique_fd.h"

namespace lattice::control {

struct NatsChildOptions {
  std::string folder;                 // made when missing; holds configuration, log and streams, and users.conf already
  std::string address = "127.0.0.1";  // to listen on
  int port = 4222;                    // 0: any free one
  std::string tls_cert_file;          // with tls_key_file: TLS is required
  std::string tls_key_file;
  absl::Duration start_timeout = absl::Seconds(15);
};

class NatsChild {
 public:
  // Waits until it listens. NotFound: no nats-server; the text names the package. AlreadyExists: the port is taken.
  static absl::StatusOr<std::unique_ptr<NatsChild>> Start(EventLoop& loop, const NatsChildOptions& options);
  ~NatsChild();

  // Ends one that is of no use any more; it is started again.
  void Replace() const;
  // Continues one that was stopped by a signal: it can neither answer nor end.
  void Wake() const;

  // Makes it read its configuration and users.conf again. One that is just being started again does so anyway.
  void Reload() const;

  // "nats://HOST:PORT", or "nats://USER:PASSWORD@HOST:PORT" with a login.
  std::string url(const std::string& login = "") const;
  // Times it ended and was started again.
  uint64_t restarts() const { return restarts_; }

 private:
  NatsChild(EventLoop& loop, NatsChildOptions options) : loop_(loop), options_(std::move(options)) {}
  absl::Status Prepare();
  absl::Status Launch();
  absl::Status AwaitPort();
  void OnExit();
  void RestartLater();
  void Kill();
  std::string LastLogLine() const;

  EventLoop& loop_;
  const NatsChildOptions options_;
  int port_ = 0;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  uint64_t restarts_ = 0;
  EventLoop::TimerId restart_timer_ = 0;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_NATS_CHILD_H_
