// The real latticed with a data folder of its own, ports that are free, and a client with the admin token.
//
//   Latticed server;
//   ASSERT_TRUE(server.Start().ok()) << server.log();
//   server.Get("/api/v1/audit/flow?agentName=a")["data"]["list"]
//
// The folder outlives Stop() and Kill(), so it can be started again. One thread.
#ifndef TESTS_TESTING_LATTICED_H_
#define TESTS_TESTING_LATTICED_H_

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/metrics_text.h"
#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"
#include "userspace/http/client.h"

namespace lattice::testing {

class Latticed {
 public:
  // `args` are added to --data-dir, --http-addr and --nats-addr. `ns`: where it runs and is asked; null: ours.
  explicit Latticed(std::vector<std::string> args = {}, const NetNamespace* ns = nullptr)
      : args_(std::move(args)), ns_(ns) {}

  // Until it says that it is ready. Started again it takes the same ports.
  absl::Status Start(absl::Duration deadline = absl::Seconds(30));
  int Stop();   // SIGTERM; its exit code, -1 if it doesn't end within 30 s
  void Kill();  // SIGKILL, and reaped
  bool running() { return child_ != nullptr && child_->running(); }
  pid_t pid() const { return child_->pid(); }
  std::string log() const { return log_ + (child_ == nullptr ? "" : child_->err()); }
  bool WaitForLog(absl::string_view text, absl::Duration deadline = absl::Seconds(20)) const {
    return child_->WaitForOutput(text, deadline);
  }
  // For a start that must fail.
  CommandResult RunToItsEnd();

  std::vector<std::string>& args() { return args_; }
  // Added to its environment.
  std::vector<std::pair<std::string, std::string>>& env() { return env_; }
  const std::string& data_dir() const { return data_dir_.path(); }
  std::string File(const std::string& name) const { return data_dir_.File(name); }
  const std::string& address() const { return address_; }
  std::string url() const { return "http://" + address_; }
  std::string nats_url() const;           // for writers with a token; with --require-agent-auth=false for any
  std::string NatsUrlOfLatticed() const;  // its own NATS, as the user that may do everything
  std::string admin_token() const;        // without its line end

  // With the admin token. The body as JSON: {"code", "msg", "data"}; null where it is none.
  nlohmann::json Get(const std::string& target) const;
  nlohmann::json Post(const std::string& target, const nlohmann::json& body) const;
  // The answer as it is. `token` empty: without one.
  absl::StatusOr<http::ClientResponse> Raw(const std::string& method, const std::string& target,
                                           const std::string& body = "", const std::string& token = "") const;
  MetricsText Scrape() const;
  bool ready() const;
  // All records of the query, over its pages.
  std::vector<nlohmann::json> Flows(const std::string& query = "") const;

  // `lattice COMMAND… --server-url --api-token-file`.
  CommandResult Cli(std::vector<std::string> command) const;
  // Enrols `name` by a token; the path of a file with its agent token. Empty: it failed, the log says why.
  std::string EnrollToFile(const std::string& name) const;

 private:
  std::vector<std::string> CommandLine() const;
  void Inside(const std::function<void()>& work) const;

  std::vector<std::string> args_;
  std::vector<std::pair<std::string, std::string>> env_;
  const NetNamespace* const ns_;
  TempDir data_dir_;
  std::string address_;
  int nats_port_ = 0;
  std::string log_;  // of earlier starts
  std::unique_ptr<ChildProcess> child_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_LATTICED_H_
