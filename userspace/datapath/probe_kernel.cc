#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "userspace/base/file.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/kernel_abi.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/probe_checks.h"

// Debian 12's headers know them all; older build hosts may not.
#ifndef CAP_PERFMON
#define CAP_PERFMON 38  // kernel 5.8
#endif
#ifndef CAP_BPF
#define CAP_BPF 39  // kernel 5.8
#endif

namespace lattice::datapath {
namespace {

constexpr char kNewerKernel[] = "boot a kernel of 6.1 or newer";
constexpr int kLoopbackIndex = 1;

Check CheckVersion() {
  utsname name;
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0 || sscanf(name.release, "%d.%d", &major, &minor) != 2) {
    return Warn("kernel.version", "the kernel does not tell its version", kNewerKernel);
  }
  if (major > 6 || (major == 6 && minor >= 1)) return Good("kernel.version", name.release);
  return Warn("kernel.version", absl::StrCat(name.release, "; tested are 6.1 to 6.18"), kNewerKernel);
}

Check CheckBpf() {
  const UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lat_probe", 4, 4, 1, nullptr));
  if (map.ok()) return Good("kernel.bpf", "bpf(2) works");
  if (errno == EPERM) {
    return Fatal("kernel.bpf", "bpf(2) is not permitted",
                 "run as root, or with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
  }
  return Fatal("kernel.bpf", absl::StrCat("bpf(2) fails: ", strerror(errno)),
               "a kernel with CONFIG_BPF_SYSCALL is needed");
}

Check CheckFeature(const char* name, const char* what, int probed) {
  if (probed == 1) return Good(name, what);
  if (probed == -EPERM || probed == 0) {
    return Fatal(name, absl::StrCat("this kernel has no ", what, ", or does not let us use it"), kNewerKernel);
  }
  return Fatal(name, absl::StrCat("asking for ", what, ": ", strerror(-probed)), kNewerKernel);
}

Check CheckTcx(const Options& options) {
  if (HasTcx(kLoopbackIndex)) return Good("kernel.tcx", "tcx links");
  if (options.tc_kind == TcKind::kTcx)
    return Fatal("kernel.tcx", absl::StrCat("no ", kNeedsTcx), "boot a kernel of 6.6 or newer");
  return Good("kernel.tcx", absl::StrCat("no ", kNeedsTcx, ": clsact filters are used"));
}

Check CheckBtf() {
  constexpr char kPath[] = "/sys/kernel/btf/vmlinux";
  if (access(kPath, R_OK) == 0) return Good("kernel.btf", kPath);
  return Warn("kernel.btf", absl::StrCat("no ", kPath, ": a program may not load"),
              "a kernel with CONFIG_DEBUG_INFO_BTF is needed");
}

Check CheckJit() {
  constexpr char kPath[] = "/proc/sys/net/core/bpf_jit_enable";
  const absl::StatusOr<std::string> value = ReadFile(kPath);
  if (absl::IsNotFound(value.status())) return Good("kernel.jit", "not visible from this network namespace");
  if (!value.ok()) return Warn("kernel.jit", std::string(value.status().message()), "look at net.core.bpf_jit_enable");
  if (absl::StripSuffix(*value, "\n") != "0") return Good("kernel.jit", "BPF programs are compiled");
  return Warn("kernel.jit", "BPF programs are interpreted: every packet costs several times more",
              "sysctl -w net.core.bpf_jit_enable=1");
}

// Since kernel 5.11 BPF memory counts towards the memory cgroup and not RLIMIT_MEMLOCK.
Check CheckMemlock() {
  rlimit limit;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) return Warn("limits.memlock", strerror(errno), "");
  utsname name;
  int major = 0;
  int minor = 0;
  const bool known = uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2;
  if (known && (major > 5 || (major == 5 && minor >= 11))) {
    return Good("limits.memlock", "does not count for BPF since kernel 5.11");
  }
  if (limit.rlim_cur == RLIM_INFINITY) return Good("limits.memlock", "unlimited");
  return Fatal("limits.memlock", absl::StrFormat("%d bytes", limit.rlim_cur),
               "ulimit -l unlimited (LimitMEMLOCK=infinity)");
}

}  // namespace

void CheckKernel(const Options& options, std::vector<Check>* checks) {
  checks->push_back(CheckVersion());
  checks->push_back(CheckBpf());
  checks->push_back(CheckFeature("kernel.ring_buffer", "BPF ring buffers (kernel 5.8)",
                                 libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, nullptr)));
  checks->push_back(CheckFeature("kernel.syscall_program", kNeedsSyscallPrograms,
                                 libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SYSCALL, nullptr)));
  checks->push_back(CheckFeature("kernel.lpm_trie", "BPF LPM tries (kernel 4.11)",
                                 libbpf_probe_bpf_map_type(BPF_MAP_TYPE_LPM_TRIE, nullptr)));
  if (!options.cgroups.empty()) {
    checks->push_back(CheckFeature("kernel.cgroup_skb", "BPF programs of cgroups (CONFIG_CGROUP_BPF)",
                                   libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_CGROUP_SKB, nullptr)));
  }
  checks->push_back(CheckTcx(options));
  checks->push_back(CheckBtf());
  checks->push_back(CheckJit());
  checks->push_back(CheckMemlock());
}

bool HasCapability(int number) {
  const absl::StatusOr<std::string> status = ReadFile("/proc/thread-self/status");
  unsigned long long effective = 0;
  const size_t at = status.ok() ? status->find("CapEff:") : std::string::npos;
  if (at == std::string::npos || sscanf(status->c_str() + at, "CapEff: %llx", &effective) != 1) return false;
  return (effective >> number & 1) != 0;
}

std::optional<Check> MissingPrivilege() {
  if (HasCapability(CAP_BPF) || HasCapability(CAP_SYS_ADMIN)) return std::nullopt;
  return Fatal("capability.cap_bpf", "no CAP_BPF: nothing can be checked", "run as root");
}

void CheckCapabilities(std::vector<Check>* checks) {
  struct Needed {
    const char* check;
    const char* name;
    int number;
    const char* without;
  };
  constexpr Needed kNeeded[] = {
      {"capability.cap_bpf", "CAP_BPF", CAP_BPF, "BPF programs and maps can't be made"},
      {"capability.cap_net_admin", "CAP_NET_ADMIN", CAP_NET_ADMIN, "programs can't be attached"},
      {"capability.cap_perfmon", "CAP_PERFMON", CAP_PERFMON, "the verifier refuses the programs"},
  };
  for (const Needed& needed : kNeeded) {
    if (HasCapability(needed.number)) {
      checks->push_back(Good(needed.check, needed.name));
    } else {
      checks->push_back(Fatal(needed.check, absl::StrCat("no ", needed.name, ": ", needed.without),
                              "run as root or give the capability"));
    }
  }
  if (HasCapability(CAP_SYS_ADMIN)) {
    checks->push_back(Good("capability.cap_sys_admin", "CAP_SYS_ADMIN"));
  } else {
    checks->push_back(Warn("capability.cap_sys_admin",
                           "no CAP_SYS_ADMIN: bpffs can't be mounted and foreign programs have no names here",
                           "mount bpffs beforehand"));
  }
}

}  // namespace lattice::datapath
