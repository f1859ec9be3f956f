// A named network namespace of a test: /run/netns/lat-t-<pid>-<role>, its loopback
// up, deleted with the object. Create() first removes what dead test processes
// left behind, so a crashed run costs the next one nothing.
//
//   ASSERT_OK_AND_ASSIGN(auto node, NetNamespace::Create("node"));
//   ASSERT_OK(ConnectByVeth(*node, *peer, "net0", {"192.0.2.1/24"}, {"192.0.2.2/24"}));
//   RunCommand(node->Inside({"ping", "-c1", "192.0.2.2"}));
//   UniqueFd fd = node->Socket(AF_INET, SOCK_DGRAM, 0);   // stays inside, any thread may use it
//
// Any thread.
#ifndef TESTS_TESTING_NETNS_H_
#define TESTS_TESTING_NETNS_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/unique_fd.h"

namespace lattice::testing {

class NetNamespace {
 public:
  // `role` is a short word, unique among the live namespaces of this process.
  static absl::StatusOr<std::unique_ptr<NetNamespace>> Create(absl::string_view role);
  ~NetNamespace();
  NetNamespace(const NetNamespace&) = delete;
  NetNamespace& operator=(const NetNamespace&) = delete;

  const std::string& name() const { return name_; }
  std::string path() const { return "/run/netns/" + name_; }

  // Commands of ip-batch(8), one a line: "addr add 192.0.2.1/24 dev net0".
  absl::Status Ip(absl::string_view lines) const;
  // `argv` with what runs it inside put in front. Not `ip netns exec`: that remounts
  // /sys, and bpffs and cgroups are gone.
  std::vector<std::string> Inside(std::vector<std::string> argv) const;
  // Runs `work` on a thread of its own inside and waits for it.
  void Run(const std::function<void()>& work) const;
  // A socket that lives inside; not ok() on error, errno tells.
  UniqueFd Socket(int domain, int type, int protocol) const;

 private:
  explicit NetNamespace(std::string name) : name_(std::move(name)) {}
  std::string name_;
};

// One veth pair, `device` the name of both ends, up, with the addresses "A/LEN" of either family.
absl::Status ConnectByVeth(const NetNamespace& a, const NetNamespace& b, absl::string_view device,
                           const std::vector<std::string>& a_addresses, const std::vector<std::string>& b_addresses);

// Names of the form lat-t-<pid>-… among `names` whose process is gone.
std::vector<std::string> DeadLeftovers(const std::vector<std::string>& names);
// The entries of a folder; empty if it isn't there.
std::vector<std::string> FolderEntries(const std::string& path);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_NETNS_H_
