// Questions about BPF programs, maps and links, and errno in the operator's words. Any thread.
#ifndef USERSPACE_DATAPATH_KERNEL_OBJECT_H_
#define USERSPACE_DATAPATH_KERNEL_OBJECT_H_

#include <linux/bpf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/unique_fd.h"

namespace lattice::datapath {

// `error` of a bpf(2) command; EPERM and EACCES name `capability` ("CAP_NET_ADMIN").
absl::Status BpfError(int error, absl::string_view doing, absl::string_view capability = "CAP_BPF");

absl::StatusOr<bpf_map_info> MapInfo(int fd);
absl::StatusOr<bpf_prog_info> ProgramInfo(int fd);
absl::StatusOr<bpf_link_info> LinkInfo(int fd);

// Empty without CAP_SYS_ADMIN (unless it was asked for before) or if the program is gone.
std::string ProgramName(uint32_t id);

// Opens a pin. NotFound: there is none.
absl::StatusOr<UniqueFd> OpenPin(const std::string& path);

// Ids of the programs at a hook, first to last. `target` is an ifindex or a cgroup fd.
absl::StatusOr<std::vector<uint32_t>> QueryPrograms(int target, bpf_attach_type type);

// Whether the kernel has tcx, asked on an existing device.
bool HasTcx(int ifindex);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_KERNEL_OBJECT_H_
