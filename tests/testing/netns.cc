#include "tests/testing/netns.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "glog/logging.h"
#include "tests/testing/command.h"
#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr absl::string_view kPrefix = "lat-t-";

void RemoveLeftovers() {
  for (const std::string& name : DeadLeftovers(FolderEntries("/run/netns"))) {
    CommandResult removed = RunCommand({"ip", "netns", "del", name});
    if (!removed.ok()) LOG(WARNING) << "leftover namespace " << name << ": " << removed;
  }
}

}  // namespace

std::vector<std::string> FolderEntries(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = ::opendir(path.c_str());
  if (dir == nullptr) return names;
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  ::closedir(dir);
  return names;
}

std::vector<std::string> DeadLeftovers(const std::vector<std::string>& names) {
  std::vector<std::string> dead;
  for (const std::string& name : names) {
    absl::string_view rest = name;
    if (!absl::ConsumePrefix(&rest, kPrefix)) continue;
    int pid = 0;
    if (!absl::SimpleAtoi(rest.substr(0, rest.find('-')), &pid) || pid <= 0) continue;
    if (::kill(pid, 0) != 0 && errno == ESRCH) dead.push_back(name);
  }
  return dead;
}

absl::StatusOr<std::unique_ptr<NetNamespace>> NetNamespace::Create(absl::string_view role) {
  RemoveLeftovers();
  std::unique_ptr<NetNamespace> ns(new NetNamespace(absl::StrCat(kPrefix, ::getpid(), "-", role)));
  LATTICE_RETURN_IF_ERROR(RunCommand({"ip", "netns", "add", ns->name_}).status());
  LATTICE_RETURN_IF_ERROR(ns->Ip("link set lo up"));
  return ns;
}

NetNamespace::~NetNamespace() {
  CommandResult removed = RunCommand({"ip", "netns", "del", name_});
  if (!removed.ok()) LOG(ERROR) << removed;
}

absl::Status NetNamespace::Ip(absl::string_view lines) const {
  return Annotate(RunCommand({"ip", "-n", name_, "-batch", "-"}, {.input = absl::StrCat(lines, "\n")}).status(), lines);
}

std::vector<std::string> NetNamespace::Inside(std::vector<std::string> argv) const {
  std::vector<std::string> inside = {"nsenter", "--net=" + path(), "--"};
  inside.insert(inside.end(), argv.begin(), argv.end());
  return inside;
}

void NetNamespace::Run(const std::function<void()>& work) const {
  std::thread thread([&] {
    UniqueFd ns(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
    PCHECK(ns.ok() && ::setns(ns.get(), CLONE_NEWNET) == 0) << "entering " << path();
    work();
  });
  thread.join();
}

UniqueFd NetNamespace::Socket(int domain, int type, int protocol) const {
  UniqueFd fd;
  int error = 0;
  Run([&] {
    fd.reset(::socket(domain, type | SOCK_CLOEXEC, protocol));
    error = errno;
  });
  errno = error;
  return fd;
}

absl::Status ConnectByVeth(const NetNamespace& a, const NetNamespace& b, absl::string_view device,
                           const std::vector<std::string>& a_addresses, const std::vector<std::string>& b_addresses) {
  LATTICE_RETURN_IF_ERROR(
      a.Ip(absl::StrCat("link add ", device, " type veth peer name ", device, " netns ", b.name())));
  const auto configure = [&](const NetNamespace& ns, const std::vector<std::string>& addresses) {
    std::string lines;
    for (const std::string& address : addresses) {
      absl::StrAppend(&lines, "addr add ", address, " dev ", device,
                      absl::StrContains(address, ':') ? " nodad\n" : "\n");
    }
    return ns.Ip(absl::StrCat(lines, "link set ", device, " up"));
  };
  LATTICE_RETURN_IF_ERROR(configure(a, a_addresses));
  return configure(b, b_addresses);
}

}  // namespace lattice::testing
