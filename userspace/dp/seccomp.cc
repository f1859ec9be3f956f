#include "userspace/dp/seccomp.h"

#include <linux/bpf.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::dp {
namespace {

struct Release {
  void operator()(scmp_filter_ctx context) const { seccomp_release(context); }
};
using Filter = std::unique_ptr<void, Release>;

// Names, not numbers: a call this architecture does not have is passed over.
constexpr const char* kAllowed[] = {
    // memory and threads: malloc, the recorder, publisher and NATS threads
    "brk",
    "mmap",
    "munmap",
    "mremap",
    "mprotect",
    "madvise",
    "set_robust_list",
    "rseq",
    "futex",
    "sched_yield",
    "sched_getaffinity",
    "gettid",
    "getpid",
    "getppid",
    "tgkill",
    "exit",
    "exit_group",
    "membarrier",
    "get_mempolicy",
    "set_tid_address",
    "arch_prctl",
    "restart_syscall",
    // time, randomness, identity
    "clock_gettime",
    "clock_getres",
    "clock_nanosleep",
    "nanosleep",
    "gettimeofday",
    "time",
    "getrandom",
    "uname",
    "sysinfo",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getrusage",
    "getcpu",
    "prlimit64",
    "getrlimit",
    // signals, event loop
    "rt_sigaction",
    "rt_sigprocmask",
    "rt_sigreturn",
    "rt_sigtimedwait",
    "sigaltstack",
    "signalfd",
    "signalfd4",
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "eventfd",
    "eventfd2",
    "poll",
    "ppoll",
    "select",
    "pselect6",
    "timerfd_create",
    "timerfd_settime",
    "timerfd_gettime",
    "pipe",
    "pipe2",
    // files: audit segments and cursor, policy file, /proc and /sys, pins, resolver configuration
    "open",
    "openat",
    "openat2",
    "close",
    "close_range",
    "read",
    "write",
    "readv",
    "writev",
    "pread64",
    "pwrite64",
    "preadv",
    "pwritev",
    "lseek",
    "stat",
    "lstat",
    "fstat",
    "newfstatat",
    "statx",
    "statfs",
    "fstatfs",
    "access",
    "faccessat",
    "faccessat2",
    "fcntl",
    "fsync",
    "fdatasync",
    "sync_file_range",
    "ftruncate",
    "fallocate",
    "fadvise64",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "link",
    "linkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "fchown",
    "umask",
    "flock",
    "getdents",
    "getdents64",
    "readlink",
    "readlinkat",
    "getcwd",
    "dup",
    "dup2",
    "dup3",
    "name_to_handle_at",
    "copy_file_range",
    "sendfile",
    "utimensat",
    "inotify_init1",
    "inotify_add_watch",
    "inotify_rm_watch",
    // sockets: metrics, admin, NATS, DNS, netlink, the service manager
    "bind",
    "connect",
    "listen",
    "accept",
    "accept4",
    "getsockname",
    "getpeername",
    "getsockopt",
    "setsockopt",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "shutdown",
};

constexpr const char* kKilled[] = {
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "init_module",
    "finit_module",
    "delete_module",
    "kexec_load",
    "kexec_file_load",
    "pivot_root",
    "chroot",
    "mount",
    "umount2",
    "setns",
    "unshare",
    "reboot",
    "swapon",
    "keyctl",
    "add_key",
    "request_key",
    "userfaultfd",
    "perf_event_open",
    "io_uring_setup",
    "open_by_handle_at",
    "pidfd_getfd",
    "personality",
    "modify_ldt",
    "iopl",
    "ioperm",
};

constexpr int kBpfCommands[] = {
    // policies: maps are made, filled, put into the outer maps
    BPF_MAP_CREATE,
    BPF_MAP_LOOKUP_ELEM,
    BPF_MAP_UPDATE_ELEM,
    BPF_MAP_DELETE_ELEM,
    BPF_MAP_GET_NEXT_KEY,
    BPF_MAP_LOOKUP_BATCH,
    BPF_MAP_UPDATE_BATCH,
    BPF_MAP_DELETE_BATCH,
    BPF_MAP_FREEZE,
    // the sweep; attaching again; what is attached
    BPF_PROG_RUN,
    BPF_LINK_CREATE,
    BPF_LINK_UPDATE,
    BPF_LINK_DETACH,
    BPF_PROG_ATTACH,
    BPF_PROG_DETACH,
    BPF_PROG_QUERY,
    BPF_OBJ_PIN,
    BPF_OBJ_GET,
    BPF_OBJ_GET_INFO_BY_FD,
    // answered EPERM without CAP_SYS_ADMIN, which a reader of a foreign program's name takes as "unknown"
    BPF_PROG_GET_FD_BY_ID,
    BPF_LINK_GET_FD_BY_ID,
    BPF_MAP_GET_FD_BY_ID,
    BPF_BTF_GET_FD_BY_ID,
};

constexpr int kSocketFamilies[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
// isatty, bytes waiting, what an interface is
constexpr uint64_t kIoctls[] = {TCGETS,      FIONREAD,     FIONBIO,       SIOCGIFINDEX,
                                SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFHWADDR, SIOCGIFMTU};
constexpr int kPrctls[] = {PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, PR_CAPBSET_READ};

absl::Status Add(const Filter& filter, uint32_t action, const char* name) {
  const int call = seccomp_syscall_resolve_name(name);
  if (call == __NR_SCMP_ERROR || call < 0) return absl::OkStatus();  // not on this architecture
  if (const int result = seccomp_rule_add(filter.get(), action, call, 0); result != 0) {
    return ErrnoStatus(-result, absl::StrCat("seccomp rule for ", name));
  }
  return absl::OkStatus();
}

// Allows `name` where the bits `mask` of its argument number `argument` are `value`.
absl::Status AllowIf(const Filter& filter, const char* name, uint32_t argument, uint64_t mask, uint64_t value) {
  const int call = seccomp_syscall_resolve_name(name);
  if (call == __NR_SCMP_ERROR || call < 0) return absl::OkStatus();  // not on this architecture
  const scmp_arg_cmp compare = {argument, SCMP_CMP_MASKED_EQ, mask, value};
  if (const int result = seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, call, 1, compare); result != 0) {
    return ErrnoStatus(-result, absl::StrCat("seccomp rule for ", name, " ", value));
  }
  return absl::OkStatus();
}

absl::Status AddArgumentRules(const Filter& filter) {
  // seccomp sees 32 bits of these arguments as the kernel uses them.
  constexpr uint64_t kInt = 0xffffffff;
  for (const int command : kBpfCommands) LATTICE_RETURN_IF_ERROR(AllowIf(filter, "bpf", 0, kInt, command));
  for (const int family : kSocketFamilies) LATTICE_RETURN_IF_ERROR(AllowIf(filter, "socket", 0, kInt, family));
  LATTICE_RETURN_IF_ERROR(AllowIf(filter, "socketpair", 0, kInt, AF_UNIX));
  for (const uint64_t request : kIoctls) LATTICE_RETURN_IF_ERROR(AllowIf(filter, "ioctl", 1, kInt, request));
  for (const int option : kPrctls) LATTICE_RETURN_IF_ERROR(AllowIf(filter, "prctl", 0, kInt, option));
  // Threads, no processes. clone3 passes its flags by reference, which no filter can look at;
  // at ENOSYS glibc falls back to clone.
  LATTICE_RETURN_IF_ERROR(AllowIf(filter, "clone", 0, CLONE_THREAD, CLONE_THREAD));
  return Add(filter, SCMP_ACT_ERRNO(ENOSYS), "clone3");
}

}  // namespace

absl::StatusOr<SeccompMode> ParseSeccompMode(absl::string_view text) {
  if (text == "enforce") return SeccompMode::kEnforce;
  if (text == "log") return SeccompMode::kLog;
  if (text == "off") return SeccompMode::kOff;
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\": expected enforce, log or off"));
}

absl::Status RestrictSystemCalls(SeccompMode mode) {
  if (mode == SeccompMode::kOff) return absl::OkStatus();
  const bool enforce = mode == SeccompMode::kEnforce;
  const Filter filter(seccomp_init(enforce ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_LOG));
  if (filter == nullptr) return absl::InternalError("seccomp_init failed");
  int result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (result == 0) result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_LOG, 1);
  // The list is long and bpf() is on the path of each sweep: a tree of comparisons instead of a chain.
  if (result == 0) result = seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  if (result != 0) return ErrnoStatus(-result, "setting up the seccomp filter");
  for (const char* name : kAllowed) LATTICE_RETURN_IF_ERROR(Add(filter, SCMP_ACT_ALLOW, name));
  LATTICE_RETURN_IF_ERROR(AddArgumentRules(filter));
  if (enforce) {
    for (const char* name : kKilled) LATTICE_RETURN_IF_ERROR(Add(filter, SCMP_ACT_KILL_PROCESS, name));
  }
  if (result = seccomp_load(filter.get()); result != 0) return ErrnoStatus(-result, "loading the seccomp filter");
  return absl::OkStatus();
}

}  // namespace lattice::dp
