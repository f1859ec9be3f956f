#include "tests/testing/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "glog/logging.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

// What the child tells the parent through a close-on-exec pipe when it does not reach exec's success.
struct Failure {
  char step[8];
  int error;
};

struct Plan {
  char* const* argv;
  char* const* env;
  const char* cwd;
  int netns;
  int out, err;
  int report;
  pid_t parent;
};

[[noreturn]] void Fail(const Plan& plan, const char* step) {
  Failure failure = {{}, errno};
  for (size_t i = 0; i + 1 < sizeof(failure.step) && step[i] != '\0'; ++i) failure.step[i] = step[i];
  [[maybe_unused]] const ssize_t n = write(plan.report, &failure, sizeof(failure));  // Nobody else to tell.
  _exit(127);
}

// In the child: only async-signal-safe calls, the parent may have threads.
[[noreturn]] void Exec(const Plan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != plan.parent) _exit(127);
  if (plan.netns >= 0 && setns(plan.netns, CLONE_NEWNET) != 0) Fail(plan, "setns");
  if (plan.cwd[0] != '\0' && chdir(plan.cwd) != 0) Fail(plan, "chdir");
  if (dup2(plan.out, 1) < 0 || dup2(plan.err, 2) < 0) Fail(plan, "dup2");
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  execvpe(plan.argv[0], plan.argv, plan.env);
  Fail(plan, "exec");
}

std::vector<std::string> Environment(const ChildOptions& options) {
  std::map<std::string, std::string> merged;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    merged[text.substr(0, equals)] = equals == std::string::npos ? "" : text.substr(equals + 1);
  }
  for (const auto& [name, value] : options.env) merged[name] = value;
  std::vector<std::string> lines;
  for (const auto& [name, value] : merged) lines.push_back(absl::StrCat(name, "=", value));
  return lines;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// The write end for the child: of a new pipe whose read end is `*read_end`, or the file `path`.
absl::StatusOr<UniqueFd> Output(const std::string& path, UniqueFd* read_end) {
  if (!path.empty()) {
    UniqueFd file(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (!file.ok()) return ErrnoStatus(errno, absl::StrCat("opening ", path));
    return file;
  }
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  read_end->reset(fds[0]);
  return UniqueFd(fds[1]);
}

int ExitCode(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(const ChildOptions& options) {
  auto child = absl::WrapUnique(new ChildProcess());
  LATTICE_ASSIGN_OR_RETURN(UniqueFd out, Output(options.out_file, &child->pipes_[0]));
  LATTICE_ASSIGN_OR_RETURN(UniqueFd err, Output(options.err_file, &child->pipes_[1]));
  UniqueFd report_read;
  LATTICE_ASSIGN_OR_RETURN(UniqueFd report, Output("", &report_read));
  UniqueFd netns;
  if (!options.netns.empty()) {
    netns.reset(open(options.netns.c_str(), O_RDONLY | O_CLOEXEC));
    if (!netns.ok()) return ErrnoStatus(errno, absl::StrCat("opening ", options.netns));
  }
  std::vector<std::string> argv = options.argv;
  std::vector<std::string> env = Environment(options);
  const std::vector<char*> argv_pointers = Pointers(argv);
  const std::vector<char*> env_pointers = Pointers(env);
  const Plan plan = {argv_pointers.data(),
                     env_pointers.data(),
                     options.cwd.c_str(),
                     netns.get(),
                     out.get(),
                     err.get(),
                     report.get(),
                     getpid()};
  child->pid_ = fork();
  if (child->pid_ < 0) return ErrnoStatus(errno, "fork");
  if (child->pid_ == 0) Exec(plan);
  report.reset();
  out.reset();
  err.reset();
  Failure failure;
  if (read(report_read.get(), &failure, sizeof(failure)) == sizeof(failure)) {
    return ErrnoStatus(failure.error, absl::StrCat("starting ", options.argv[0], ": ", failure.step));
  }
  child->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, child->pid_, 0)));
  if (!child->pidfd_.ok()) return ErrnoStatus(errno, "pidfd_open");
  child->stop_.reset(eventfd(0, EFD_CLOEXEC));
  if (!child->stop_.ok()) return ErrnoStatus(errno, "eventfd");
  child->reader_ = std::thread([raw = child.get()] { raw->ReadPipes(); });
  return child;
}

ChildProcess::~ChildProcess() {
  if (pid_ > 0 && !exit_code_.has_value()) {
    kill(pid_, SIGKILL);
    Wait(absl::InfiniteDuration());
  }
  if (!reader_.joinable()) return;
  const uint64_t one = 1;
  PCHECK(write(stop_.get(), &one, sizeof(one)) == sizeof(one));
  reader_.join();
}

bool ChildProcess::Signal(int signal) {
  return !exit_code_.has_value() && kill(pid_, signal) == 0;
}

std::optional<int> ChildProcess::Wait(absl::Duration deadline) {
  if (exit_code_.has_value()) return exit_code_;
  const absl::Time end = absl::Now() + deadline;
  while (true) {
    pollfd fd = {pidfd_.get(), POLLIN, 0};
    const int64_t left = absl::ToInt64Milliseconds(std::max(absl::ZeroDuration(), end - absl::Now()));
    const bool ready = pidfd_.ok() ? poll(&fd, 1, static_cast<int>(std::min<int64_t>(left, 1'000'000))) == 1 : true;
    if (ready) break;
    if (absl::Now() >= end) return std::nullopt;
  }
  siginfo_t info = {};
  if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) == 0) exit_code_ = ExitCode(info);
  // Its last words are still in the pipes; a grandchild that holds them open is not waited for.
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&ended_), absl::Seconds(1));
  return exit_code_;
}

std::string ChildProcess::out() const {
  absl::MutexLock lock(&mutex_);
  return text_[0];
}

std::string ChildProcess::err() const {
  absl::MutexLock lock(&mutex_);
  return text_[1];
}

bool ChildProcess::WaitForOutput(absl::string_view text, absl::Duration deadline) const {
  const auto seen_or_ended = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return ended_ || absl::StrContains(text_[0], text) || absl::StrContains(text_[1], text);
  };
  absl::MutexLock lock(&mutex_);
  mutex_.AwaitWithTimeout(absl::Condition(&seen_or_ended), deadline);
  return absl::StrContains(text_[0], text) || absl::StrContains(text_[1], text);
}

void ChildProcess::ReadPipes() {
  while (pipes_[0].ok() || pipes_[1].ok()) {
    pollfd fds[3] = {{pipes_[0].get(), POLLIN, 0}, {pipes_[1].get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (poll(fds, 3, -1) < 0) continue;  // EINTR
    if (fds[2].revents != 0) break;
    for (int i = 0; i < 2; ++i) {
      if (fds[i].revents == 0) continue;
      char buffer[16384];
      const ssize_t n = read(pipes_[i].get(), buffer, sizeof(buffer));
      if (n <= 0) {
        pipes_[i].reset();
        continue;
      }
      absl::MutexLock lock(&mutex_);
      text_[i].append(buffer, static_cast<size_t>(n));
    }
  }
  absl::MutexLock lock(&mutex_);
  ended_ = true;
}

}  // namespace lattice::testing
