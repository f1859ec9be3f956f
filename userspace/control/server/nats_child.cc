#include "userspace/control/server/nats_child.h"

#include <fcntl.h>
#include <glog/logging.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::control {
namespace {

constexpr absl::Duration kStopTimeout = absl::Seconds(10);
constexpr absl::Duration kRestartDelay = absl::Seconds(1);

// $0 folder, $1 address, $2 port, $3 TLS.
constexpr char kConfig[] = R"(# Written by latticed at each start.
listen: "$1:$2"
server_name: latticed
ports_file_dir: "$0"
pid_file: "$0/nats-server.pid"
log_file: "$0/nats-server.log"
logfile_size_limit: 10MB
max_payload: 1MB
jetstream { store_dir: "$0/jetstream" }
$3
authorization {
  include "users.conf"
}
)";

std::string Fill(absl::string_view text, const std::vector<std::string>& values) {
  std::vector<std::pair<std::string, std::string>> replacements;
  for (size_t i = 0; i < values.size(); ++i) replacements.emplace_back(absl::StrCat("$", i), values[i]);
  return absl::StrReplaceAll(text, replacements);
}

// A path or address inside the quotes of the configuration.
absl::Status CheckQuotable(absl::string_view flag, const std::string& text) {
  if (text.find_first_of("\"\\\n$") == std::string::npos) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", text, ": quotes, backslashes and $ are not possible here"));
}

// The port of nats-server's ports file, {"nats":["nats://127.0.0.1:4222"],…}; 0 while there is none.
int PortIn(const std::string& text) {
  const size_t url = text.find("//");
  const size_t end = url == std::string::npos ? url : text.find('"', url);
  if (end == std::string::npos) return 0;
  const std::string host_port = text.substr(url, end - url);
  int port = 0;
  return absl::SimpleAtoi(host_port.substr(host_port.rfind(':') + 1), &port) ? port : 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NatsChild>> NatsChild::Start(EventLoop& loop, const NatsChildOptions& options) {
  auto child = absl::WrapUnique(new NatsChild(loop, options));
  LATTICE_RETURN_IF_ERROR(child->Prepare());
  LATTICE_RETURN_IF_ERROR(child->Launch());
  return child;
}

absl::Status NatsChild::Prepare() {
  LATTICE_RETURN_IF_ERROR(CheckQuotable("--data-dir", options_.folder));
  LATTICE_RETURN_IF_ERROR(CheckQuotable("--nats-addr", options_.address));
  LATTICE_RETURN_IF_ERROR(MakeDirectories(options_.folder, 0700));
  port_ = options_.port;
  return absl::OkStatus();
}

absl::Status NatsChild::Launch() {
  std::string tls;
  if (!options_.tls_cert_file.empty()) {
    LATTICE_RETURN_IF_ERROR(CheckQuotable("--nats-tls-cert", options_.tls_cert_file));
    LATTICE_RETURN_IF_ERROR(CheckQuotable("--nats-tls-key", options_.tls_key_file));
    tls =
        absl::StrCat("tls { cert_file: \"", options_.tls_cert_file, "\", key_file: \"", options_.tls_key_file, "\" }");
  }
  // Started again it takes the port that agents know.
  const std::string port = port_ == 0 ? "-1" : absl::StrCat(port_);
  const std::string config_path = options_.folder + "/nats.conf";
  LATTICE_RETURN_IF_ERROR(
      WriteFileAtomically(config_path, Fill(kConfig, {options_.folder, options_.address, port, tls}), 0600));
  // The files of an earlier one. One that can't be removed does no harm: it has another pid in its name.
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(options_.folder, ignored)) {
    if (entry.path().extension() == ".ports") std::filesystem::remove(entry.path(), ignored);
  }
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) return ErrnoStatus(errno, "starting nats-server");
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    // Debian keeps it where users' PATH often does not look.
    const char* const path = getenv("PATH");
    setenv("PATH", absl::StrCat(path == nullptr ? "/usr/bin:/bin" : path, ":/usr/sbin:/usr/local/bin").c_str(), 1);
    execlp("nats-server", "nats-server", "--config", config_path.c_str(), nullptr);
    _exit(errno == ENOENT ? 126 : 127);
  }
  pidfd_.reset(static_cast<int>(syscall(SYS_pidfd_open, pid_, 0)));
  if (!pidfd_.ok()) return ErrnoStatus(errno, "watching nats-server");
  LATTICE_RETURN_IF_ERROR(AwaitPort());
  return loop_.AddFd(pidfd_.get(), EPOLLIN, [this](uint32_t) { OnExit(); });
}

absl::Status NatsChild::AwaitPort() {
  const std::string ports_file = absl::StrCat(options_.folder, "/nats-server_", pid_, ".ports");
  const absl::Time deadline = absl::Now() + options_.start_timeout;
  while (absl::Now() < deadline) {
    const absl::StatusOr<std::string> text = ReadFile(ports_file);
    if (const int port = text.ok() ? PortIn(*text) : 0; port != 0) {
      port_ = port;
      return absl::OkStatus();
    }
    pollfd ended{pidfd_.get(), POLLIN, 0};
    if (poll(&ended, 1, 20) == 0) continue;
    int status = 0;
    waitpid(std::exchange(pid_, -1), &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 126) {
      return absl::NotFoundError(
          "there is no nats-server: install the package nats-server, or give --nats-url for one that runs already");
    }
    const std::string line = LastLogLine();
    const std::string text_of = absl::StrCat("nats-server does not start: ", line.empty() ? "no reason given" : line,
                                             "; its log is ", options_.folder, "/nats-server.log");
    return absl::StrContains(line, "address already in use")
               ? absl::AlreadyExistsError(
                     absl::StrCat("--nats-addr=", options_.address, ":", options_.port, ": ", text_of))
               : absl::UnavailableError(text_of);
  }
  return absl::DeadlineExceededError(absl::StrCat("nats-server does not listen after ",
                                                  absl::FormatDuration(options_.start_timeout), "; its log is ",
                                                  options_.folder, "/nats-server.log"));
}

std::string NatsChild::LastLogLine() const {
  const absl::StatusOr<std::string> log = ReadFile(options_.folder + "/nats-server.log");
  if (!log.ok()) return "";
  const std::vector<std::string> lines = absl::StrSplit(*log, '\n', absl::SkipEmpty());
  return lines.empty() ? "" : lines.back();
}

void NatsChild::OnExit() {
  loop_.RemoveFd(pidfd_.get());
  pidfd_.reset();
  int status = 0;
  waitpid(std::exchange(pid_, -1), &status, 0);
  ++restarts_;
  LOG(ERROR) << "nats-server ended (" << (WIFSIGNALED(status) ? "signal " : "exit code ")
             << (WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)) << "); starting it again. Its log is "
             << options_.folder << "/nats-server.log";
  RestartLater();
}

void NatsChild::RestartLater() {
  restart_timer_ = loop_.AddOnce(kRestartDelay, [this] {
    restart_timer_ = 0;
    const absl::Status launched = Launch();
    if (launched.ok()) return;
    LOG(ERROR) << launched.message() << "; trying again";
    Kill();
    RestartLater();
  });
}

// For one that runs and is of no use.
void NatsChild::Kill() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(std::exchange(pid_, -1), nullptr, 0);
  pidfd_.reset();
}

void NatsChild::Replace() const {
  if (pid_ > 0) kill(pid_, SIGKILL);
}

void NatsChild::Reload() const {
  if (pid_ > 0) kill(pid_, SIGHUP);
}

void NatsChild::Wake() const {
  if (pid_ > 0) kill(pid_, SIGCONT);
}

NatsChild::~NatsChild() {
  if (restart_timer_ != 0) loop_.RemoveTimer(restart_timer_);
  if (pid_ < 0) return;
  if (pidfd_.ok()) loop_.RemoveFd(pidfd_.get());
  kill(pid_, SIGTERM);
  Wake();
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (poll(&ended, 1, static_cast<int>(absl::ToInt64Milliseconds(kStopTimeout))) == 0) {
    LOG(WARNING) << "nats-server does not end, killing it";
  }
  Kill();
}

std::string NatsChild::url(const std::string& login) const {
  const bool any = options_.address == "0.0.0.0" || options_.address == "::";
  return absl::StrCat(options_.tls_cert_file.empty() ? "nats://" : "tls://", login, login.empty() ? "" : "@",
                      any ? "127.0.0.1" : options_.address, ":", port_);
}

}  // namespace lattice::control
