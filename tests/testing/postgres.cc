#include "tests/testing/postgres.h"

#include <arpa/inet.h>
#include <glob.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/testing/command.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);

// The newest version's.
std::string ProgramFolder() {
  glob_t found = {};
  std::string folder;
  if (glob("/usr/lib/postgresql/*/bin", 0, nullptr, &found) == 0) folder = found.gl_pathv[found.gl_pathc - 1];
  globfree(&found);
  return folder;
}

// Free now; the server needs one that it can have again after a restart.
int FreePort() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) return 0;
  if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.sin_port);
}

// The processes whose parent is `parent`.
std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    pid_t pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    const absl::StatusOr<std::string> stat = ReadFile(entry.path().string() + "/stat");
    if (!stat.ok()) continue;  // gone meanwhile
    // "PID (NAME) STATE PPID …"; a name may hold anything.
    const size_t end = stat->rfind(") ");
    pid_t its_parent = 0;
    const std::string rest = end == std::string::npos ? "" : stat->substr(end + 4);
    if (absl::SimpleAtoi(rest.substr(0, rest.find(' ')), &its_parent) && its_parent == parent) children.push_back(pid);
  }
  return children;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresServer>> PostgresServer::Start(const PostgresOptions& options) {
  auto server = absl::WrapUnique(new PostgresServer(options));
  server->programs_ = ProgramFolder();
  if (server->programs_.empty()) return absl::NotFoundError("PostgreSQL is not installed: run scripts/setup");
  LATTICE_RETURN_IF_ERROR(server->Initialize());
  LATTICE_RETURN_IF_ERROR(server->Launch());
  return server;
}

PostgresServer::~PostgresServer() {
  Stop();
}

std::vector<std::string> PostgresServer::AsServer(std::vector<std::string> command) const {
  if (geteuid() != 0) return command;
  // The death signal of ChildProcess is cleared by the change of user.
  std::vector<std::string> all = {"setpriv",        "--reuid=postgres", "--regid=postgres",
                                  "--clear-groups", "--pdeathsig=QUIT", "--"};
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

absl::Status PostgresServer::Initialize() {
  if (geteuid() == 0) {
    const passwd* user = getpwnam("postgres");
    if (user == nullptr) return absl::NotFoundError("there is no user postgres: run scripts/setup");
    if (chown(dir_.path().c_str(), user->pw_uid, user->pw_gid) != 0) return ErrnoStatus(errno, dir_.path());
  }
  const CommandResult made =
      RunCommand(AsServer({programs_ + "/initdb", "--pgdata=" + dir_.File("data"), "--username=postgres",
                           "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"}),
                 {.timeout = kDeadline});
  if (!made.ok()) return made.status();
  port_ = FreePort();
  return absl::OkStatus();
}

absl::Status PostgresServer::Launch() {
  std::vector<std::string> command = {programs_ + "/postgres",
                                      "-D",
                                      dir_.File("data"),
                                      "-p",
                                      absl::StrCat(port_),
                                      "-k",
                                      dir_.path(),
                                      "-c",
                                      "listen_addresses=127.0.0.1",
                                      "-c",
                                      absl::StrCat("fsync=", options_.fsync ? "on" : "off")};
  for (const std::string& setting : options_.settings) command.insert(command.end(), {"-c", setting});
  LATTICE_ASSIGN_OR_RETURN(child_, ChildProcess::Start({.argv = AsServer(std::move(command)), .cwd = "/"}));
  if (child_->WaitForOutput("database system is ready to accept connections", kDeadline)) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("postgres did not start: ", log()));
}

void PostgresServer::Stop() {
  if (child_ == nullptr) return;
  SignalAll(SIGCONT).IgnoreError();
  child_->Signal(SIGQUIT);  // at once; its processes go with it
  child_->Wait(kDeadline);
  child_.reset();
}

std::string PostgresServer::url(const std::string& database) const {
  return absl::StrCat("postgresql://postgres@127.0.0.1:", port_, "/", database);
}

absl::StatusOr<std::string> PostgresServer::CreateDatabase(const std::string& name) {
  const CommandResult made = RunCommand({programs_ + "/psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", url(), "-c",
                                         absl::StrCat("CREATE DATABASE \"", name, "\"")});
  if (!made.ok()) return made.status();
  return url(name);
}

absl::Status PostgresServer::SignalAll(int signal) {
  const std::vector<pid_t> children = ChildrenOf(child_->pid());
  if (!child_->Signal(signal)) return absl::FailedPreconditionError("postgres is not running");
  for (const pid_t pid : children) kill(pid, signal);  // may be gone
  return absl::OkStatus();
}

absl::Status PostgresServer::Kill() {
  LATTICE_RETURN_IF_ERROR(SignalAll(SIGKILL));
  if (!child_->Wait(kDeadline).has_value()) return absl::DeadlineExceededError("postgres does not end");
  return absl::OkStatus();
}

absl::Status PostgresServer::Restart() {
  Stop();
  return Launch();
}

absl::Status PostgresServer::Pause() {
  return SignalAll(SIGSTOP);
}
absl::Status PostgresServer::Resume() {
  return SignalAll(SIGCONT);
}

}  // namespace lattice::testing
