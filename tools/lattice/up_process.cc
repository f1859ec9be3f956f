#include "tools/lattice/up_process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/memory/memory.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

absl::StatusOr<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  std::error_code error;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
  std::vector<std::string> folders;
  if (!error) folders.push_back(self.parent_path().string());
  const char* path = std::getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path == nullptr ? "" : path, ':', absl::SkipEmpty())) {
    folders.emplace_back(folder);
  }
  for (const std::string& folder : folders) {
    std::string file = absl::StrCat(folder, "/", name);
    if (access(file.c_str(), X_OK) == 0) return file;
  }
  return absl::NotFoundError(absl::StrCat("there is no program ", name, " beside lattice or in PATH; install it"));
}

// In the child. Only what is safe after fork.
[[noreturn]] void Exec(const std::vector<char*>& argv, pid_t parent) {
  // Our loop blocks the signals it reads; the child wants its own.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);  // Ctrl-C is for us: we end them in our order
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Process>> Process::Start(const std::vector<std::string>& argv) {
  LATTICE_ASSIGN_OR_RETURN(const std::string program, FindProgram(argv.at(0)));
  std::vector<std::string> words = argv;
  words[0] = program;
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  auto process = absl::WrapUnique(new Process());
  const pid_t parent = getpid();
  process->pid_ = fork();
  if (process->pid_ < 0) return ErrnoStatus(errno, absl::StrCat("starting ", program));
  if (process->pid_ == 0) Exec(pointers, parent);
  process->pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, process->pid_, 0)));
  if (!process->pidfd_.ok()) return ErrnoStatus(errno, "pidfd_open");
  fcntl(process->pidfd_.get(), F_SETFD, FD_CLOEXEC);
  return process;
}

Process::~Process() {
  if (pid_ < 0) return;
  if (pidfd_.ok() && running()) {
    Signal(SIGTERM);
    if (!Wait(kPatience)) Signal(SIGKILL);
  }
  waitpid(pid_, nullptr, 0);
}

void Process::Signal(int signal) const {
  // Through the pidfd: the number may be somebody else's by now.
  syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0);
}

bool Process::Wait(absl::Duration timeout) const {
  pollfd poll_fd{.fd = pidfd_.get(), .events = POLLIN, .revents = 0};
  return poll(&poll_fd, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout))) == 1;
}

}  // namespace lattice::cli
