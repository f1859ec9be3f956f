// A real nats-server on a free port of 127.0.0.1, and a subscriber to look at what it got.
//
//   auto server = NatsServer::Start();
//   ASSERT_TRUE(server.ok()) << server.status();
//   auto seen = NatsSubscriber::Subscribe((*server)->url(), "lattice.audit.>");
//
// One thread.
#ifndef TESTS_TESTING_NATS_SERVER_H_
#define TESTS_TESTING_NATS_SERVER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temp_dir.h"

namespace lattice::testing {

struct NatsServerOptions {
  bool jetstream = false;  // file storage in the server's own temporary folder
  std::string user;        // with password
  std::string password;
  std::string token;
  std::string tls_cert_file;  // with tls_key_file: TLS is required
  std::string tls_key_file;
  std::string tls_client_ca_file;  // clients must show a certificate of this authority
  std::string config;              // text of a configuration file, for what has no flag
  int port = 0;                    // 0: any free one
  std::string netns;               // "/run/netns/NAME"; empty: ours
  std::string address = "127.0.0.1";
};

class NatsServer {
 public:
  // It accepts connections when this returns.
  static absl::StatusOr<std::unique_ptr<NatsServer>> Start(const NatsServerOptions& options = {});

  int port() const { return options_.port; }
  std::string url() const;  // "nats://127.0.0.1:PORT", "tls://…" with TLS; no secret in it

  absl::Status Stop();     // SIGTERM, and waits for its end
  void Kill();             // SIGKILL, and reaped: what was not synced may be gone
  absl::Status Restart();  // on the same port; after Stop(), Kill() or a running one
  absl::Status Pause();    // SIGSTOP: connections stay, nothing answers
  absl::Status Resume();
  // Used from the next Restart() on.
  NatsServerOptions& options() { return options_; }

  // What JetStream stores is in this folder.
  std::string store() const { return dir_.File("jetstream"); }
  pid_t pid() const { return child_->pid(); }
  std::string log() const { return child_->err(); }

 private:
  explicit NatsServer(const NatsServerOptions& options) : options_(options) {}
  absl::Status Launch();

  NatsServerOptions options_;
  TempDir dir_;
  std::unique_ptr<ChildProcess> child_;
};

struct NatsMessage {
  std::string subject;
  std::string payload;
  std::string msg_id;  // the Nats-Msg-Id header; empty without it
};

class NatsSubscriber {
 public:
  // The server has the subscription when this returns. `url` may carry user:password@; reconnects by itself.
  // With `tls_ca_file` it speaks TLS.
  static absl::StatusOr<std::unique_ptr<NatsSubscriber>> Subscribe(const std::string& url, const std::string& subject,
                                                                   const std::string& tls_ca_file = "");
  ~NatsSubscriber();

  // The next message; nothing when none comes before `deadline`.
  std::optional<NatsMessage> Next(absl::Duration deadline);

 private:
  struct Impl;
  explicit NatsSubscriber(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_NATS_SERVER_H_
