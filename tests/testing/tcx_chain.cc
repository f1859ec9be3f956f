#include "tests/testing/tcx_chain.h"

#include <bpf/bpf.h>
#include <net/if.h>

#include <cerrno>

#include "userspace/base/status.h"

namespace lattice::testing {
namespace {

constexpr uint32_t kBefore = 1u << 3;  // BPF_F_BEFORE of newer kernel headers

// r0 = TC_ACT_OK; exit
const bpf_insn kAllowAll[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
                              {.code = BPF_JMP | BPF_EXIT}};

int IndexOf(const NetNamespace& ns, const std::string& device) {
  int index = 0;
  ns.Run([&] { index = static_cast<int>(::if_nametoindex(device.c_str())); });
  return index;
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> TcxPrograms(const NetNamespace& ns, const std::string& device, TcxHook hook) {
  const int index = IndexOf(ns, device);
  if (index == 0) return absl::NotFoundError(device);
  std::vector<uint32_t> ids(64);
  uint32_t count = static_cast<uint32_t>(ids.size());
  int result = 0;
  ns.Run([&] { result = ::bpf_prog_query(index, static_cast<bpf_attach_type>(hook), 0, nullptr, ids.data(), &count); });
  if (result != 0) return ErrnoStatus(-result, "BPF_PROG_QUERY");
  ids.resize(count);
  return ids;
}

absl::StatusOr<UniqueFd> AttachForeignProgram(const NetNamespace& ns, const std::string& device, TcxHook hook) {
  const int index = IndexOf(ns, device);
  if (index == 0) return absl::NotFoundError(device);
  UniqueFd program(
      ::bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "foreign", "GPL", kAllowAll, std::size(kAllowAll), nullptr));
  if (!program.ok()) return ErrnoStatus(errno, "BPF_PROG_LOAD");
  UniqueFd link;
  int error = 0;
  ns.Run([&] {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = kBefore);
    link.reset(::bpf_link_create(program.get(), index, static_cast<bpf_attach_type>(hook), &options));
    error = errno;
  });
  if (!link.ok()) return ErrnoStatus(error, "BPF_LINK_CREATE");
  return link;
}

}  // namespace lattice::testing
