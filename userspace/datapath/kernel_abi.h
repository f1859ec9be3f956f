// What newer kernels have and the uapi headers of Debian 12 (6.1) or libbpf 1.1 don't,
// each with the kernel version it came with. The only place for such constants.
#ifndef USERSPACE_DATAPATH_KERNEL_ABI_H_
#define USERSPACE_DATAPATH_KERNEL_ABI_H_

#include <linux/bpf.h>

#include <cstdint>
#include <cstring>

namespace lattice::datapath {

// tcx, kernel 6.6.
inline constexpr auto kTcxIngress = static_cast<bpf_attach_type>(46);  // BPF_TCX_INGRESS
inline constexpr auto kTcxEgress = static_cast<bpf_attach_type>(47);   // BPF_TCX_EGRESS
inline constexpr uint32_t kLinkTypeTcx = 11;                           // BPF_LINK_TYPE_TCX
inline constexpr uint32_t kBefore = 1u << 3;                           // BPF_F_BEFORE: without an anchor, the first

// bpf_link_info.tcx, kernel 6.6: the first member of the union, as all of its small structs are.
struct TcxLinkInfo {
  uint32_t ifindex;  // 0: the device is gone
  uint32_t attach_type;
};
inline TcxLinkInfo TcxInfo(const bpf_link_info& info) {
  TcxLinkInfo tcx;
  static_assert(sizeof(tcx) <= sizeof(info.netns));
  std::memcpy(&tcx, &info.netns, sizeof(tcx));
  return tcx;
}

// First kernel versions, for messages.
inline constexpr char kNeedsTcx[] = "tcx (kernel 6.6)";
inline constexpr char kNeedsSyscallPrograms[] = "BPF syscall programs (kernel 5.14)";

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_KERNEL_ABI_H_
