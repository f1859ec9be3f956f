// Runs one command to its end and keeps what it printed.
//
//   CommandResult r = RunCommand({"ip", "-n", ns.name(), "addr"});
//   ASSERT_EQ(r.exit_code, 0) << r;
//
// Any thread. The command dies with the thread that runs it.
#ifndef TESTS_TESTING_COMMAND_H_
#define TESTS_TESTING_COMMAND_H_

#include <ostream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lattice::testing {

struct CommandOptions {
  std::string input;  // its standard input
  absl::Duration timeout = absl::Seconds(60);
};

struct CommandResult {
  std::vector<std::string> argv;
  int exit_code = -1;  // 128 + signal when killed, -1 when it couldn't be started
  bool timed_out = false;
  std::string out;
  std::string err;

  bool ok() const { return exit_code == 0; }
  absl::Status status() const;  // Internal with the command and its stderr
};
std::ostream& operator<<(std::ostream& os, const CommandResult& result);

CommandResult RunCommand(std::vector<std::string> argv, const CommandOptions& options = {});

}  // namespace lattice::testing

#endif  // TESTS_TESTING_COMMAND_H_
