#include "tests/testing/latticed_dp.h"

#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "tests/testing/wait_until.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr char kBpffs[] = "/sys/fs/bpf";
constexpr absl::Duration kEnd = absl::Seconds(30);

std::string NewPinPath() {
  static std::atomic<int> next{0};
  return absl::StrCat(kBpffs, "/lat-t-", ::getpid(), "-", next++);
}

// Pins of a dead test hold programs on devices that may be gone; they are ours by their name.
void RemovePinsOfDeadTests() {
  for (const std::string& name : DeadLeftovers(FolderEntries(kBpffs))) {
    std::error_code error;
    std::filesystem::remove_all(absl::StrCat(kBpffs, "/", name), error);
    LOG_IF(WARNING, error) << "leftover pins " << name << ": " << error.message();
  }
}

UniqueFd ListenForNotify(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  CHECK_LT(path.size(), sizeof address.sun_path);
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());
  PCHECK(fd.ok() && ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) << path;
  return fd;
}

}  // namespace

std::string BinaryPath(const std::string& name) {
  // build/bin/tests/this_test or build/bin/bench/this_bench
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path().parent_path() / name).string();
}

LatticedDp::LatticedDp(const NetNamespace& ns, std::vector<std::string> args, std::string iface)
    : ns_(ns), args_(std::move(args)), iface_(std::move(iface)), pin_path_(NewPinPath()) {
  RemovePinsOfDeadTests();
}

LatticedDp::~LatticedDp() {
  child_ = nullptr;
  std::error_code error;
  std::filesystem::remove_all(pin_path_, error);
  LOG_IF(WARNING, error) << "removing " << pin_path_ << ": " << error.message();
  // Another namespace may get the inode of ours, and its daemon must not go on from what this one left.
  struct stat netns;
  if (::stat(ns_.path().c_str(), &netns) != 0) return;
  for (const char* suffix : {"told", "losses", "seq"}) {
    std::filesystem::remove(absl::StrCat("/run/lattice/dp-", iface_, "@", netns.st_ino, ".", suffix), error);
  }
}

std::vector<std::string> LatticedDp::CommandLine() const {
  std::vector<std::string> argv = {BinaryPath("latticed-dp"),    "--iface=" + iface_,
                                   "--pin-path=" + pin_path_,    "--admin-socket=" + admin_socket(),
                                   "--audit-log=" + audit_log(), "--logtostderr"};
  argv.insert(argv.end(), args_.begin(), args_.end());
  return argv;
}

absl::Status LatticedDp::Launch() {
  const std::string notify_path = home_.File("notify.sock");
  notify_ = ListenForNotify(notify_path);
  LATTICE_ASSIGN_OR_RETURN(
      child_,
      ChildProcess::Start({.argv = CommandLine(), .env = {{"NOTIFY_SOCKET", notify_path}}, .netns = ns_.path()}));
  return absl::OkStatus();
}

bool LatticedDp::WaitUntilReady(absl::Duration deadline) {
  return WaitUntil(
             [&] {
               if (!child_->running()) return true;
               char text[4096];
               const ssize_t n = ::recv(notify_.get(), text, sizeof text, MSG_DONTWAIT);
               return n > 0 && absl::StrContains(absl::string_view(text, static_cast<size_t>(n)), "READY=1");
             },
             deadline) &&
         child_->running();
}

absl::Status LatticedDp::Start() {
  LATTICE_RETURN_IF_ERROR(Launch());
  if (WaitUntilReady()) return absl::OkStatus();
  const std::optional<int> code = child_->Wait(absl::ZeroDuration());
  return absl::InternalError(
      absl::StrCat(code ? absl::StrCat("latticed-dp ended with ", *code) : "latticed-dp is not ready", ":\n", log()));
}

CommandResult LatticedDp::RunToItsEnd() {
  CommandResult result;
  result.argv = CommandLine();
  if (absl::Status launched = Launch(); !launched.ok()) {
    result.err = launched.ToString();
    return result;
  }
  const std::optional<int> code = child_->Wait(kEnd);
  result.timed_out = !code.has_value();
  result.exit_code = code.value_or(-1);
  if (!code) Kill();
  result.out = child_->out();
  result.err = child_->err();
  return result;
}

int LatticedDp::Stop() {
  child_->Signal(SIGTERM);
  return child_->Wait(kEnd).value_or(-1);
}

void LatticedDp::Kill() {
  child_->Signal(SIGKILL);
  CHECK(child_->Wait(kEnd).has_value()) << "SIGKILL does not end it";
}

std::string LatticedDp::log() const {
  return child_ == nullptr ? "" : child_->out() + child_->err();
}

bool LatticedDp::WaitForLog(absl::string_view text, absl::Duration deadline) const {
  return child_->WaitForOutput(text, deadline);
}

CommandResult LatticedDp::Cli(std::vector<std::string> command) const {
  std::vector<std::string> argv = {BinaryPath("lattice"), "dp"};
  argv.insert(argv.end(), command.begin(), command.end());
  argv.insert(argv.end(), {"--iface=" + iface_, "--pin-path=" + pin_path_, "--admin-socket=" + admin_socket()});
  return RunCommand(ns_.Inside(std::move(argv)));
}

CommandResult LatticedDp::ApplyPolicy(const std::string& lines) const {
  const std::string path = home_.File("apply.policy");
  absl::Status written = WriteFileAtomically(path, lines, 0600);
  CHECK(written.ok()) << written;
  return Cli({"policy", "apply", path});
}

std::string LatticedDp::ScrapeText() const {
  CommandResult scraped = RunCommand(ns_.Inside({"curl", "-sS", "--max-time", "10", "http://127.0.0.1:9478/metrics"}));
  LOG_IF(ERROR, !scraped.ok()) << scraped;
  return scraped.out;
}

MetricsText LatticedDp::Scrape() const {
  return MetricsText::Parse(ScrapeText());
}

std::vector<AuditRecord> LatticedDp::Records() const {
  // Rotated segments first; their names end in the number of their first record.
  std::vector<std::pair<size_t, std::string>> segments;
  for (const std::string& name : FolderEntries(home_.path())) {
    if (absl::StartsWith(name, "audit-") && absl::EndsWith(name, ".jsonl")) segments.push_back({name.size(), name});
  }
  std::sort(segments.begin(), segments.end());
  segments.push_back({0, "audit.jsonl"});
  std::vector<AuditRecord> records;
  for (const auto& [length, name] : segments) {
    absl::StatusOr<std::string> text = ReadFile(home_.File(name));
    if (!text.ok()) continue;  // not there yet, or rotated this moment
    for (AuditRecord& record : ParseAuditLines(*text)) records.push_back(std::move(record));
  }
  return records;
}

std::vector<AuditRecord> LatticedDp::Records(const std::function<bool(const AuditRecord&)>& wanted) const {
  std::vector<AuditRecord> records = Records();
  records.erase(std::remove_if(records.begin(), records.end(), [&](const AuditRecord& r) { return !wanted(r); }),
                records.end());
  return records;
}

std::optional<AuditRecord> LatticedDp::WaitForRecord(const std::function<bool(const AuditRecord&)>& wanted,
                                                     absl::Duration deadline) const {
  std::optional<AuditRecord> found;
  WaitUntil(
      [&] {
        std::vector<AuditRecord> records = Records(wanted);
        if (!records.empty()) found = records.front();
        return found.has_value();
      },
      deadline);
  return found;
}

}  // namespace lattice::testing
