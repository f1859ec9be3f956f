// Who may do what on latticed's own nats-server: the file users.conf, which the server's configuration includes.
//
//   _latticed  everything
//   _enroll    what an agent needs that knows nothing yet but discovery: ask the control plane. Anyone may know it.
//   NAME       one for each agent that is not revoked: publish records, ask, hear what is for it and nobody else
//   _check     nothing; its password changes with the file, so that its login proves that the server has read it
//
// Promise: an agent's user works before WhenInForce() calls back, and is gone, with its connections, soon after its
// revocation. The server is told at most ten times a second, and with many agents, whose file takes long to read, less
// often: changes that come meanwhile are one. What fails is tried again until it works.
//
// Threads: one of its own after Start(); the rest from any.
#ifndef USERSPACE_CONTROL_SERVER_NATS_USERS_H_
#define USERSPACE_CONTROL_SERVER_NATS_USERS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/control/registry/records.h"
#include "userspace/nats/connection.h"

namespace lattice::control {

struct NatsUsersOptions {
  std::string folder;  // made when missing; holds users.conf and passwords
  // Without it only agents that have enrolled over HTTP can log in.
  bool open_enrolment = true;
  // Records need no token: _enroll may publish them.
  bool open_records = false;
  // The agents; blocks.
  std::function<absl::StatusOr<std::vector<NatsUser>>()> agents;
};

class NatsUsers {
 public:
  // users.conf is there when this returns.
  static absl::StatusOr<std::unique_ptr<NatsUsers>> Create(NatsUsersOptions options);
  ~NatsUsers();

  // The server runs now. `reload` tells it to read its configuration again; `server` is how to reach it, without a
  // user.
  void Start(std::function<void()> reload, nats::Options server);

  // The agents are others than before.
  void Changed() {
    WhenInForce([] {});
  }
  // The same, and calls back when the server knows, or after some seconds in which it could not be told. On a thread of
  // ours; before Start() at once.
  void WhenInForce(std::function<void()> done) ABSL_LOCKS_EXCLUDED(mutex_);

  // "USER:PASSWORD".
  std::string server_login() const;
  std::string enrol_login() const;  // empty without open_enrolment
  uint64_t reloads() const { return reloads_; }
  uint64_t failures() const { return failures_; }
  uint64_t agents() const { return agents_; }

 private:
  struct Waiter {
    uint64_t change;
    absl::Time deadline;
    std::function<void()> done;
  };
  explicit NatsUsers(NatsUsersOptions options) : options_(std::move(options)) {}
  absl::StatusOr<std::string> Write();
  absl::Status Apply();
  absl::Status AwaitRead() const;
  void Run();
  void CallBack(uint64_t change) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Sleep(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);  // false when stopping

  const NatsUsersOptions options_;
  std::string server_password_;
  std::string enrol_password_;
  std::function<void()> reload_;
  nats::Options server_;
  std::string check_password_;  // of the file that is there
  std::string known_;           // of the one that the server has read
  std::atomic<uint64_t> reloads_{0};
  std::atomic<uint64_t> failures_{0};
  std::atomic<uint64_t> agents_{0};

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t wanted_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t applied_ ABSL_GUARDED_BY(mutex_) = 0;
  std::vector<Waiter> waiters_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SERVER_NATS_USERS_H_
