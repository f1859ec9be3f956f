// The ground of latticed's fault tests: latticed with its own NATS and SQLite, a writer with the token of its agent,
// and a raw NATS client for what no writer of ours would send.
#ifndef TESTS_FAULT_CONTROL_FAULT_H_
#define TESTS_FAULT_CONTROL_FAULT_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/testing/audit_writer.h"
#include "tests/testing/latticed.h"
#include "tests/testing/wait_until.h"

namespace lattice::testing {

class RawNats {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  // As the agent of `token`, or with user and password in `url`.
  static absl::StatusOr<std::unique_ptr<RawNats>> Connect(const std::string& url, const std::string& token = "");
  ~RawNats();
  // OK: the server has read it.
  absl::Status Publish(const std::string& subject, const std::string& payload, const Headers& headers = {});
  // A request whose answer is to go to `reply`.
  absl::Status PublishRequest(const std::string& subject, const std::string& payload, const std::string& reply);
  // Nothing when no answer comes within `wait`.
  std::optional<std::string> Request(const std::string& subject, const std::string& payload, absl::Duration wait);
  // Whether the server has ended the connection within `wait`.
  bool IsCut(absl::Duration wait) const;
  // Whether a subscription to `subject` gets anything within `wait`, during which `work` is done.
  bool Hears(const std::string& subject, absl::Duration wait, const std::function<void()>& work);

 private:
  struct Impl;
  explicit RawNats(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ControlFaultTest : public ::testing::Test {
 protected:
  void TearDown() override;
  void StartServer(std::vector<std::string> args = {});
  // Enrols agent-1 and starts its writer.
  void StartWriter();
  pid_t NatsPid() const;
  double Count(const std::string& what) const;  // latticed_WHAT_total
  std::string NotReadyReason() const;           // the body of a 503 of /readyz; empty: it is ready, or does not answer
  // The table has each record of the writer once, and knows of no hole.
  void ExpectEachOnce(absl::Duration deadline = absl::Seconds(60));

  std::unique_ptr<Latticed> server_;
  std::unique_ptr<AuditWriter> writer_;
};

// Whether that process is there, a zombie not counted.
bool IsAlive(pid_t pid);

}  // namespace lattice::testing

#endif  // TESTS_FAULT_CONTROL_FAULT_H_
