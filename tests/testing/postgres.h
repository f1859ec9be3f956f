// A real PostgreSQL cluster of the test's own, on a free port of 127.0.0.1.
//
//   auto server = PostgresServer::Start();
//   auto url = (*server)->CreateDatabase("events");
//
// The server refuses root, so it runs as the user `postgres` when the test is root. It ends with this object, and by
// SIGQUIT when the test is killed. One thread, except url().
#ifndef TESTS_TESTING_POSTGRES_H_
#define TESTS_TESTING_POSTGRES_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/testing/child_process.h"
#include "tests/testing/temp_dir.h"

namespace lattice::testing {

struct PostgresOptions {
  bool fsync = false;                 // true for measurements; a killed server loses nothing either way
  std::vector<std::string> settings;  // "name=value"
};

class PostgresServer {
 public:
  // It accepts connections when this returns. NotFound: there are no programs of PostgreSQL here.
  static absl::StatusOr<std::unique_ptr<PostgresServer>> Start(const PostgresOptions& options = {});
  ~PostgresServer();

  // A new, empty database; its URL.
  absl::StatusOr<std::string> CreateDatabase(const std::string& name);
  std::string url(const std::string& database = "postgres") const;
  int port() const { return port_; }

  absl::Status Kill();     // SIGKILL to all of its processes: a power failure but for the disk
  absl::Status Restart();  // on the same port; after Kill() or a running one
  absl::Status Pause();    // SIGSTOP to all of its processes: connections stay, nothing answers
  absl::Status Resume();
  std::string log() const { return child_ == nullptr ? "" : child_->err(); }

 private:
  explicit PostgresServer(const PostgresOptions& options) : options_(options) {}
  absl::Status Initialize();
  absl::Status Launch();
  void Stop();
  absl::Status SignalAll(int signal);
  std::vector<std::string> AsServer(std::vector<std::string> command) const;

  const PostgresOptions options_;
  TempDir dir_;
  std::string programs_;  // the folder of initdb and postgres
  int port_ = 0;
  std::unique_ptr<ChildProcess> child_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_POSTGRES_H_
