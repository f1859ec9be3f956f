// A program that `lattice up` runs beside itself. It dies with us. One thread: the one that started it.
#ifndef TOOLS_LATTICE_UP_PROCESS_H_
#define TOOLS_LATTICE_UP_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "userspace/base/unique_fd.h"

namespace lattice::cli {

class Process {
 public:
  // argv[0] is a path, or a name that is looked for beside this program and then in PATH. NotFound: it is nowhere.
  // Its output is ours.
  static absl::StatusOr<std::unique_ptr<Process>> Start(const std::vector<std::string>& argv);
  // SIGTERM, and SIGKILL after 10 s.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  // Readable when it has ended.
  int fd() const { return pidfd_.get(); }
  bool running() const { return !Wait(absl::ZeroDuration()); }
  void Signal(int signal) const;
  // True once it has ended.
  bool Wait(absl::Duration timeout) const;

 private:
  Process() = default;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
};

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_UP_PROCESS_H_
