// A program that runs beside the test: started, watched, signalled, and killed at the end of the scope.
//
//   auto child = ChildProcess::Start({.argv = {"nats-server", "-p", "4222"}});
//   ASSERT_TRUE(child.ok()) << child.status();
//   ASSERT_TRUE((*child)->WaitForOutput("Server is ready", absl::Seconds(10))) << (*child)->out();
//
// For a program that ends by itself use RunCommand (command.h). The child dies with the thread that started
// it, also when that is killed. One thread, except out() and err().
#ifndef TESTS_TESTING_CHILD_PROCESS_H_
#define TESTS_TESTING_CHILD_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

struct ChildOptions {
  std::vector<std::string> argv;                         // argv[0] is searched in PATH
  std::vector<std::pair<std::string, std::string>> env;  // added to, or in place of, ours
  std::string cwd;                                       // empty: ours
  std::string netns;                                     // "/run/netns/NAME"; empty: ours
  std::string out_file;                                  // stdout goes here (appended) and not to out()
  std::string err_file;                                  // stderr goes here (appended) and not to err()
};

class ChildProcess {
 public:
  // An error of fork, setns, chdir or exec, with the step's name.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(const ChildOptions& options);
  ~ChildProcess();  // SIGKILL if it still runs, and reaps it.

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // False when it has been reaped.
  bool Signal(int signal);
  // Its exit code, 128 + signal when a signal ended it; nothing if it still runs after `deadline`. out() and err()
  // are complete then, unless a grandchild holds them open.
  std::optional<int> Wait(absl::Duration deadline);
  bool running() { return !Wait(absl::ZeroDuration()).has_value(); }

  // What it has written so far.
  std::string out() const;
  std::string err() const;
  // True once `text` is in out() or err(); false after `deadline`, or when both are at their end without it.
  bool WaitForOutput(absl::string_view text, absl::Duration deadline) const;

 private:
  ChildProcess() = default;
  void ReadPipes();

  pid_t pid_ = -1;
  UniqueFd pidfd_;
  std::optional<int> exit_code_;
  UniqueFd pipes_[2];  // stdout, stderr; not open when they go to a file
  UniqueFd stop_;      // eventfd: ends reader_ although a grandchild may hold the pipes open
  std::thread reader_;
  mutable absl::Mutex mutex_;
  std::string text_[2] ABSL_GUARDED_BY(mutex_);
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_CHILD_PROCESS_H_
