#include "userspace/datapath/kernel_object.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <map>

#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_abi.h"

namespace lattice::datapath {
namespace {

template <typename Info>
absl::StatusOr<Info> ObjectInfo(int fd, absl::string_view kind) {
  Info info = {};
  uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return BpfError(errno, absl::StrCat("asking about a BPF ", kind));
  return info;
}

}  // namespace

absl::Status BpfError(int error, absl::string_view doing, absl::string_view capability) {
  if (error == EPERM || error == EACCES) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "%s: not permitted: needs %s (root has it; in a unit: AmbientCapabilities=)", doing, capability));
  }
  if (error == EROFS) {
    return absl::FailedPreconditionError(
        absl::StrCat(doing, ": the file system is read-only here; in a unit, ReadWritePaths= has to name the folder"));
  }
  return ErrnoStatus(error, doing);
}

absl::StatusOr<bpf_map_info> MapInfo(int fd) {
  return ObjectInfo<bpf_map_info>(fd, "map");
}
absl::StatusOr<bpf_prog_info> ProgramInfo(int fd) {
  return ObjectInfo<bpf_prog_info>(fd, "program");
}
absl::StatusOr<bpf_link_info> LinkInfo(int fd) {
  return ObjectInfo<bpf_link_info>(fd, "link");
}

std::string ProgramName(uint32_t id) {
  // Ids are not given out twice. Once CAP_SYS_ADMIN is dropped the kernel tells no more names than are known by then.
  static absl::Mutex mutex;
  static auto& names = *new std::map<uint32_t, std::string>;
  absl::MutexLock lock(&mutex);
  const auto known = names.find(id);
  if (known != names.end()) return known->second;
  UniqueFd fd(bpf_prog_get_fd_by_id(id));
  if (!fd.ok()) return "";
  const absl::StatusOr<bpf_prog_info> info = ProgramInfo(fd.get());
  return info.ok() ? names[id] = info->name : "";
}

absl::StatusOr<UniqueFd> OpenPin(const std::string& path) {
  UniqueFd fd(bpf_obj_get(path.c_str()));
  if (fd.ok()) return fd;
  if (errno == ENOENT) return absl::NotFoundError(absl::StrCat("there is no pin ", path));
  return BpfError(errno, absl::StrCat("opening the pin ", path));
}

absl::StatusOr<std::vector<uint32_t>> QueryPrograms(int target, bpf_attach_type type) {
  // BPF_MPROG_MAX and BPF_CGROUP_MAX_PROGS are 64.
  std::vector<uint32_t> ids(64);
  uint32_t count = static_cast<uint32_t>(ids.size());
  uint32_t flags = 0;
  if (bpf_prog_query(target, type, 0, &flags, ids.data(), &count) != 0) {
    return BpfError(errno, "asking which programs are attached", "CAP_NET_ADMIN");
  }
  ids.resize(count);
  return ids;
}

bool HasTcx(int ifindex) {
  return QueryPrograms(ifindex, kTcxEgress).ok();
}

}  // namespace lattice::datapath
