#include "tools/lattice/sandbox_child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

// In the child: only what is safe after fork. Gives errno to `report`, which exec closes.
[[noreturn]] void Exec(char* const* argv, char* const* environment, pid_t parent, int report) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() == parent) execvpe(argv[0], argv, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t told = write(report, &error, sizeof(error));
  _exit(127);
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Ours with `more` in place of what has its names.
std::vector<std::string> EnvironmentWith(const std::vector<std::pair<std::string, std::string>>& more) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& [key, value] : more) replaced = replaced || key == name;
    if (!replaced) all.push_back(text);
  }
  for (const auto& [key, value] : more) all.push_back(absl::StrCat(key, "=", value));
  return all;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ProxyEnvironment(const std::string& proxy, const std::string& name) {
  std::vector<std::pair<std::string, std::string>> environment = {{"LATTICE_SANDBOX_NAME", name}};
  // A Unix socket has no form that programs agree on.
  if (proxy.empty() || proxy[0] == '/') return environment;
  // socks5h: names are of the overlay, and looked up there.
  const std::string socks = absl::StrCat("socks5h://", proxy), http = absl::StrCat("http://", proxy);
  constexpr char kLocal[] = "localhost,127.0.0.1,::1";
  for (const char* key : {"ALL_PROXY", "all_proxy"}) environment.emplace_back(key, socks);
  for (const char* key : {"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"})
    environment.emplace_back(key, http);
  for (const char* key : {"NO_PROXY", "no_proxy"}) environment.emplace_back(key, kLocal);
  return environment;
}

absl::StatusOr<std::unique_ptr<SandboxChild>> SandboxChild::Start(
    const std::vector<std::string>& command, const std::vector<std::pair<std::string, std::string>>& environment) {
  std::vector<std::string> words = command;
  std::vector<std::string> variables = EnvironmentWith(environment);
  const std::vector<char*> argv = Pointers(words), envp = Pointers(variables);
  int pipes[2];
  if (pipe2(pipes, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe");
  const UniqueFd read_end(pipes[0]);
  UniqueFd write_end(pipes[1]);
  auto child = absl::WrapUnique(new SandboxChild());
  const pid_t parent = getpid();
  child->pid_ = fork();
  if (child->pid_ < 0) return ErrnoStatus(errno, "fork");
  if (child->pid_ == 0) Exec(argv.data(), envp.data(), parent, write_end.get());
  write_end.reset();
  int error = 0;
  if (read(read_end.get(), &error, sizeof(error)) == sizeof(error)) return ErrnoStatus(error, command[0]);
  child->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, child->pid_, 0)));
  if (!child->pidfd_.ok()) return ErrnoStatus(errno, "pidfd_open");
  fcntl(child->pidfd_.get(), F_SETFD, FD_CLOEXEC);
  return child;
}

SandboxChild::~SandboxChild() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);  // not waited for yet, so the number is its own
  waitpid(pid_, nullptr, 0);
}

void SandboxChild::Signal(int signal) const {
  if (pid_ > 0) kill(pid_, signal);
}

int SandboxChild::ExitCode() {
  int status = 0;
  if (waitpid(pid_, &status, 0) != pid_) return 1;
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace lattice::cli
