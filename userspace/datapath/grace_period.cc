#include "userspace/datapath/grace_period.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <utility>

#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {

absl::StatusOr<GracePeriod> GracePeriod::Create() {
  UniqueFd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "lat_grace_in", sizeof(uint32_t), sizeof(uint32_t), 1, nullptr));
  if (!inner.ok()) return BpfError(errno, "making a BPF map");
  LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<uint32_t>(inner.get()));
  UniqueFd outer(
      bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "lat_grace", sizeof(uint32_t), sizeof(uint32_t), 1, &options));
  if (!outer.ok()) return BpfError(errno, "making a BPF map of maps");
  return GracePeriod(std::move(outer), std::move(inner));
}

absl::Status GracePeriod::Wait() const {
  const uint32_t key = 0;
  const int value = inner_.get();
  if (bpf_map_update_elem(outer_.get(), &key, &value, BPF_ANY) == 0) return absl::OkStatus();
  return BpfError(errno, "waiting for running BPF programs");
}

}  // namespace lattice::datapath
