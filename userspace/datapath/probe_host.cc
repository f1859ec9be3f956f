#include <linux/capability.h>
#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "userspace/base/file.h"
#include "userspace/base/net_device.h"
#include "userspace/datapath/bpffs.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/probe_checks.h"

namespace lattice::datapath {
namespace {

// The path of this network namespace, if somebody named it.
std::string NetNamespacePath() {
  const absl::StatusOr<NetNamespace> netns = CurrentNetNamespace();
  std::error_code error;  // no folder, no names
  for (const auto& entry : std::filesystem::directory_iterator("/run/netns", error)) {
    struct stat file;
    if (netns.ok() && stat(entry.path().c_str(), &file) == 0 && file.st_ino == netns->inode) return entry.path();
  }
  return "/run/netns/NAME";
}

Check CheckBpffs(const Options& options) {
  const absl::StatusOr<bool> on_bpffs = IsOnBpffs(options.pin_path);
  if (!on_bpffs.ok()) return Fatal("bpffs", std::string(on_bpffs.status().message()), "choose another --pin-path");
  // A warning would be read when enforcement has ended.
  if (PinsEndWithMountNamespace(options.pin_path)) {
    return Fatal("bpffs",
                 absl::StrCat("pins at ", options.pin_path,
                              ", and enforcement with them, would end with this process: it has a mount namespace of "
                              "its own, as `ip netns exec` makes one, without the BPF file system of process 1"),
                 absl::StrCat("start it by `nsenter --net=", NetNamespacePath(),
                              " latticed-dp …`; in a container, mount the host's /sys/fs/bpf"));
  }
  if (*on_bpffs) return Good("bpffs", absl::StrCat(options.pin_path, " is on a BPF file system"));
  const std::string detail = absl::StrCat("no BPF file system at ", options.pin_path);
  if (absl::StartsWith(options.pin_path, "/sys/fs/bpf/") && HasCapability(CAP_SYS_ADMIN)) {
    return Good("bpffs", absl::StrCat(detail, " yet: latticed-dp mounts one at its start"));
  }
  return Fatal("bpffs", detail, "mount -t bpf bpf /sys/fs/bpf");
}

// The first cgroup2 mount; empty if there is none.
std::string Cgroup2Mount() {
  const absl::StatusOr<std::string> mounts = ReadFile("/proc/self/mounts");
  if (!mounts.ok()) return "";
  for (absl::string_view line : absl::StrSplit(*mounts, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() > 2 && fields[2] == "cgroup2") return std::string(fields[1]);
  }
  return "";
}

}  // namespace

void CheckFileSystems(const Options& options, std::vector<Check>* checks) {
  checks->push_back(CheckBpffs(options));
  const std::string cgroup2 = Cgroup2Mount();
  if (!cgroup2.empty()) {
    checks->push_back(Good("cgroup2", absl::StrCat("mounted at ", cgroup2)));
  } else if (options.cgroups.empty()) {
    checks->push_back(Good("cgroup2", "not mounted; only --cgroup needs it"));
  } else {
    checks->push_back(Fatal("cgroup2", "not mounted", "mount -t cgroup2 none /sys/fs/cgroup/unified"));
  }
  for (const std::string& path : options.cgroups) {
    const absl::StatusOr<Cgroup> cgroup = OpenCgroup(path);
    if (cgroup.ok()) {
      checks->push_back(Good("cgroup", cgroup->path));
    } else {
      checks->push_back(Fatal("cgroup", std::string(cgroup.status().message()),
                              absl::StrCat("give a folder under ", cgroup2.empty() ? "a cgroup2 mount" : cgroup2)));
    }
  }
}

void CheckInterface(const Options& options, std::vector<Check>* checks) {
  const absl::StatusOr<NetDevice> device = LookupNetDevice(options.iface);
  if (!device.ok()) {
    checks->push_back(Fatal("interface.exists", std::string(device.status().message()),
                            "create it (wg-quick up …), or start latticed-dp with --wait-iface"));
    return;
  }
  checks->push_back(Good("interface.exists", absl::StrFormat("%s has index %d", options.iface, device->ifindex)));
  const absl::StatusOr<uint32_t> l2 = L2HeaderBytes(device->type);
  if (l2.ok()) {
    checks->push_back(Good("interface.type", *l2 == 0 ? "layer 3" : "Ethernet"));
  } else {
    checks->push_back(Fatal("interface.type", std::string(l2.status().message()), "use a WireGuard or TUN interface"));
  }
  if (device->up) {
    checks->push_back(Good("interface.up", "up"));
  } else {
    checks->push_back(
        Warn("interface.up", "down: nothing crosses it", absl::StrCat("ip link set ", options.iface, " up")));
  }
  // RFC 8200 5: IPv6 needs a link that carries 1280 bytes.
  if (device->mtu >= 1280) {
    checks->push_back(Good("interface.mtu", absl::StrCat(device->mtu)));
  } else {
    checks->push_back(Warn("interface.mtu", absl::StrCat(device->mtu, ": IPv6 needs 1280"),
                           absl::StrCat("ip link set ", options.iface, " mtu 1420")));
  }
}

}  // namespace lattice::datapath
