// latticed-dp as an operator runs it: the real binary, started inside a namespace with files, pins,
// sockets of its own, and looked at from outside: audit file, /metrics, `lattice dp`.
//
//   LatticedDp dp(pair->node(), {"--egress-allow=10.42.0.10/32"});
//   ASSERT_TRUE(dp.Start().ok());                   // ready when it returns
//   …traffic…
//   auto denied = dp.WaitForRecord([](const AuditRecord& r) { return r["event"] == "denied"; });
//   ASSERT_EQ(dp.Stop(), 0);
//
// The files and pins stay over Stop, Kill and Start and go with the object. One thread: the daemon
// dies with the thread that called Start.
#ifndef TESTS_TESTING_LATTICED_DP_H_
#define TESTS_TESTING_LATTICED_DP_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/testing/audit_records.h"
#include "tests/testing/child_process.h"
#include "tests/testing/command.h"
#include "tests/testing/metrics_text.h"
#include "tests/testing/netns.h"
#include "tests/testing/temp_dir.h"

namespace lattice::testing {

class LatticedDp {
 public:
  // `args` come after the ones the runner gives itself and so win over them.
  LatticedDp(const NetNamespace& ns, std::vector<std::string> args, std::string iface = "wg0");
  ~LatticedDp();
  LatticedDp(const LatticedDp&) = delete;
  LatticedDp& operator=(const LatticedDp&) = delete;

  // Starts it and waits until it tells the service manager that it is ready. Internal with its exit
  // code and stderr if it ends before that.
  absl::Status Start();
  // Starts it without waiting.
  absl::Status Launch();
  bool WaitUntilReady(absl::Duration deadline = absl::Seconds(60));
  // For a start that must fail: its end, or exit_code -1 if it is still there after 30 s (then killed).
  CommandResult RunToItsEnd();

  int Stop();   // SIGTERM; its exit code, -1 if it doesn't end within 30 s
  void Kill();  // SIGKILL, and reaped
  bool running() { return child_ != nullptr && child_->running(); }
  pid_t pid() const { return child_->pid(); }
  void Signal(int signal) { child_->Signal(signal); }
  std::string log() const;  // stdout and stderr of the last start
  bool WaitForLog(absl::string_view text, absl::Duration deadline = absl::Seconds(20)) const;

  std::vector<std::string>& args() { return args_; }
  const std::string& iface() const { return iface_; }
  const std::string& pin_path() const { return pin_path_; }
  std::string pin_folder() const { return pin_path_ + "/" + iface_; }
  std::string admin_socket() const { return home_.File("admin.sock"); }
  std::string audit_log() const { return home_.File("audit.jsonl"); }
  std::string File(const std::string& name) const { return home_.File(name); }

  // `lattice dp COMMAND… --iface --pin-path --admin-socket`, run inside the namespace.
  CommandResult Cli(std::vector<std::string> command) const;
  // `lattice dp policy apply` of these lines.
  CommandResult ApplyPolicy(const std::string& lines) const;

  MetricsText Scrape() const;
  std::string ScrapeText() const;

  // Every record of the audit file and of its rotated segments so far.
  std::vector<AuditRecord> Records() const;
  std::vector<AuditRecord> Records(const std::function<bool(const AuditRecord&)>& wanted) const;
  std::optional<AuditRecord> WaitForRecord(const std::function<bool(const AuditRecord&)>& wanted,
                                           absl::Duration deadline = absl::Seconds(20)) const;

 private:
  std::vector<std::string> CommandLine() const;

  const NetNamespace& ns_;
  std::vector<std::string> args_;
  const std::string iface_;
  TempDir home_;
  std::string pin_path_;
  UniqueFd notify_;
  std::unique_ptr<ChildProcess> child_;
};

// build/bin/NAME of the build this test belongs to.
std::string BinaryPath(const std::string& name);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_LATTICED_DP_H_
