#include "tests/testing/command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {
namespace {

struct Pipe {
  UniqueFd read, write;
};

Pipe MakePipe() {
  int fds[2] = {-1, -1};
  if (::pipe2(fds, O_CLOEXEC) != 0) return {};
  return {.read = UniqueFd(fds[0]), .write = UniqueFd(fds[1])};
}

// In the child: only async-signal-safe calls, the parent may have threads.
[[noreturn]] void Exec(char* const* argv, int in, int out, int err, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(err, 2);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  ::execvp(argv[0], argv);
  const char* text = ::strerrordesc_np(errno);
  if (::write(2, text, ::strlen(text)) < 0) ::_exit(126);
  ::_exit(127);
}

// Appends what `fd` holds to `text`; closes it at its end.
void Drain(UniqueFd& fd, std::string& text) {
  char buffer[16384];
  const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
  if (n > 0) text.append(buffer, static_cast<size_t>(n));
  if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) fd.reset();
}

void Feed(UniqueFd& fd, const std::string& input, size_t& sent) {
  const ssize_t n = ::write(fd.get(), input.data() + sent, input.size() - sent);
  if (n > 0) sent += static_cast<size_t>(n);
  if (sent == input.size() || (n < 0 && errno != EINTR && errno != EAGAIN)) fd.reset();
}

int ExitCode(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Pumps the three pipes until the command has closed its outputs.
void Communicate(UniqueFd in, UniqueFd out, UniqueFd err, pid_t pid, const CommandOptions& options,
                 CommandResult& result) {
  const absl::Time deadline = absl::Now() + options.timeout;
  size_t sent = 0;
  if (options.input.empty()) in.reset();
  while (out.ok() || err.ok()) {
    pollfd fds[3] = {{out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {in.get(), POLLOUT, 0}};
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) {
      result.timed_out = true;
      ::kill(pid, SIGKILL);
      return;
    }
    if (::poll(fds, 3, static_cast<int>(left)) < 0) continue;
    if (fds[0].revents != 0) Drain(out, result.out);
    if (fds[1].revents != 0) Drain(err, result.err);
    if (fds[2].revents != 0) Feed(in, options.input, sent);
  }
}

}  // namespace

absl::Status CommandResult::status() const {
  if (ok()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("`", absl::StrJoin(argv, " "), "` ended with ", exit_code,
                                          timed_out ? " (timed out)" : "", ": ", err));
}

std::ostream& operator<<(std::ostream& os, const CommandResult& result) {
  return os << "`" << absl::StrJoin(result.argv, " ") << "` ended with " << result.exit_code
            << (result.timed_out ? " (timed out)" : "") << "\nstdout: " << result.out << "\nstderr: " << result.err;
}

CommandResult RunCommand(std::vector<std::string> argv, const CommandOptions& options) {
  // A command that doesn't read all its input must not kill the test.
  ::signal(SIGPIPE, SIG_IGN);
  CommandResult result;
  result.argv = std::move(argv);
  Pipe in = MakePipe(), out = MakePipe(), err = MakePipe();
  std::vector<char*> raw;
  for (std::string& arg : result.argv) raw.push_back(arg.data());
  raw.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) {
    result.err = "fork failed";
    return result;
  }
  if (pid == 0) Exec(raw.data(), in.read.get(), out.write.get(), err.write.get(), parent);
  in.read.reset();
  out.write.reset();
  err.write.reset();
  ::fcntl(in.write.get(), F_SETFL, O_NONBLOCK);  // poll promises room for one byte only
  Communicate(std::move(in.write), std::move(out.read), std::move(err.read), pid, options, result);
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = ExitCode(status);
  return result;
}

}  // namespace lattice::testing
