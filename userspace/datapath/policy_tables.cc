#include "userspace/datapath/policy_tables.h"

#include <bpf/bpf.h>
#include <lattice/policy.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "userspace/base/status.h"
#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {
namespace {

absl::Status NoMemory(int error, absl::string_view doing) {
  if (error == ENOMEM || error == E2BIG) {
    return absl::ResourceExhaustedError(absl::StrCat(doing, ": the kernel has no memory for it (", strerror(error),
                                                     "): a policy with fewer prefixes, ",
                                                     "or a higher memory limit of the daemon's cgroup, helps"));
  }
  return BpfError(error, doing);
}

// An array with `words` in as many blocks as they need, at least one.
absl::StatusOr<UniqueFd> BuildBlocks(const char* name, absl::Span<const uint32_t> words, uint32_t flags) {
  const size_t blocks = std::max<size_t>(1, (words.size() + LAT_BLOCK_WORDS - 1) / LAT_BLOCK_WORDS);
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE | flags);
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), LAT_BLOCK_BYTES,
                              static_cast<uint32_t>(blocks), &options));
  if (!map.ok()) return NoMemory(errno, "making the policy's table");
  const size_t bytes = blocks * LAT_BLOCK_BYTES;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, map.get(), 0);
  if (memory == MAP_FAILED) return NoMemory(errno, "mapping the policy's table");
  std::memcpy(memory, words.data(), words.size() * sizeof(uint32_t));
  munmap(memory, bytes);
  return map;
}

lat_lpm4_key Key4(const policy::LpmEntry& entry) {
  lat_lpm4_key key = {};
  key.prefixlen = 8 + static_cast<uint32_t>(entry.prefix.length());
  key.direction = static_cast<lat_u8>(entry.direction);
  std::copy_n(entry.prefix.address().bytes().begin() + 12, 4, key.addr);
  return key;
}

lat_lpm6_key Key6(const policy::LpmEntry& entry) {
  lat_lpm6_key key = {};
  key.prefixlen = 8 + static_cast<uint32_t>(entry.prefix.length());
  key.direction = static_cast<lat_u8>(entry.direction);
  std::copy_n(entry.prefix.address().bytes().begin(), 16, key.addr);
  return key;
}

template <typename Key>
absl::StatusOr<UniqueFd> BuildLpm(const char* name, const std::vector<Key>& keys, const std::vector<uint32_t>& leaves) {
  LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
  const uint32_t size = static_cast<uint32_t>(std::max<size_t>(1, keys.size()));
  UniqueFd map(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, name, sizeof(Key), sizeof(uint32_t), size, &options));
  if (!map.ok()) return NoMemory(errno, "making the policy's LPM trie");
  uint32_t done = static_cast<uint32_t>(keys.size());
  LIBBPF_OPTS(bpf_map_batch_opts, batch);
  if (keys.empty() || bpf_map_update_batch(map.get(), keys.data(), leaves.data(), &done, &batch) == 0) return map;
  // The batch fails with ENOMEM on 6.18 where the per-CPU caches of the allocator run dry within one
  // call; one by one they get refilled in between. `done` isn't reliable after every error, so from the start.
  for (size_t i = 0; i < keys.size(); ++i) {
    if (bpf_map_update_elem(map.get(), &keys[i], &leaves[i], BPF_ANY) != 0) {
      return NoMemory(errno, "filling the policy's LPM trie");
    }
  }
  return map;
}

absl::Status SetSlot(int outer, uint32_t slot, const UniqueFd& inner) {
  const int fd = inner.get();
  if (bpf_map_update_elem(outer, &slot, &fd, BPF_ANY) == 0) return absl::OkStatus();
  return NoMemory(errno, "installing the policy");
}

}  // namespace

absl::StatusOr<PolicyTables> PolicyTables::Build(const policy::CompiledPolicy& compiled) {
  PolicyTables tables;
  const auto words = absl::MakeConstSpan(compiled.words);
  LATTICE_ASSIGN_OR_RETURN(
      tables.words_, BuildBlocks("policy_words", words.first(std::min<size_t>(words.size(), LAT_BLOCK_WORDS)), 0));
  if (words.size() > LAT_BLOCK_WORDS) {
    LATTICE_ASSIGN_OR_RETURN(tables.more_, BuildBlocks("policy_more", words.subspan(LAT_BLOCK_WORDS), BPF_F_INNER_MAP));
  }
  if (!compiled.stats.lpm) return tables;
  std::vector<lat_lpm4_key> keys4;
  std::vector<lat_lpm6_key> keys6;
  std::vector<uint32_t> leaves4, leaves6;
  for (const policy::LpmEntry& entry : compiled.lpm) {
    if (entry.prefix.is_v4()) {
      keys4.push_back(Key4(entry));
      leaves4.push_back(entry.leaf);
    } else {
      keys6.push_back(Key6(entry));
      leaves6.push_back(entry.leaf);
    }
  }
  LATTICE_ASSIGN_OR_RETURN(tables.lpm4_, BuildLpm("policy_lpm4", keys4, leaves4));
  LATTICE_ASSIGN_OR_RETURN(tables.lpm6_, BuildLpm("policy_lpm6", keys6, leaves6));
  return tables;
}

absl::Status PolicyTables::Install(const Programs::MapFds& maps, uint32_t generation) const {
  const uint32_t slot = generation & 1;
  if (lpm4_.ok()) {
    LATTICE_RETURN_IF_ERROR(SetSlot(maps.lpm4, slot, lpm4_));
    LATTICE_RETURN_IF_ERROR(SetSlot(maps.lpm6, slot, lpm6_));
  }
  if (more_.ok()) LATTICE_RETURN_IF_ERROR(SetSlot(maps.policy_more, slot, more_));
  return SetSlot(maps.policy, slot, words_);
}

absl::Status RemovePolicyTables(const Programs::MapFds& maps, uint32_t generation) {
  const uint32_t slot = generation & 1;
  for (const int outer : {maps.policy, maps.policy_more, maps.lpm4, maps.lpm6}) {
    if (bpf_map_delete_elem(outer, &slot) != 0 && errno != ENOENT) return BpfError(errno, "releasing the old policy");
  }
  return absl::OkStatus();
}

}  // namespace lattice::datapath
