// From a rule set to the tables of include/lattice/policy.h that the BPF programs walk.
//
// The promise: for every packet, the compiled tables give the verdict and the rule of
// Judge() (judge.h); and Compile() either returns all of it within the memory budget or
// an error and nothing. Pure computation, any thread.
#ifndef USERSPACE_POLICY_COMPILER_H_
#define USERSPACE_POLICY_COMPILER_H_

#include <lattice/policy.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/base/ip.h"
#include "userspace/policy/rule.h"

namespace lattice::policy {

struct CompileOptions {
  // --policy-memory: kernel memory of one policy. While one replaces another there are two.
  size_t memory_bytes = size_t{64} << 20;
  // Addresses go to the LPM tries even if the flat table fits.
  bool force_lpm = false;
};

// A leaf of the kernel's LPM tries lpm4 and lpm6.
struct LpmEntry {
  lat_direction direction;
  IpPrefix prefix;
  uint32_t leaf;  // word index, the map's value
};

struct CompileStats {
  size_t prefixes = 0;  // distinct, of both directions and families
  size_t classes = 0;   // different treatments of protocols and ports
  size_t nodes = 0;     // of the address tries and port trees
  size_t bytes = 0;     // kernel memory: blocks, and LPM entries (estimated)
  bool lpm = false;

  const char* lookup() const { return lpm ? "lpm" : "flat"; }
};

struct CompiledPolicy {
  // The word table; what follows up to the end of the last block is zero.
  std::vector<uint32_t> words;
  std::vector<LpmEntry> lpm;  // empty unless stats.lpm
  CompileStats stats;

  // max_entries of the inner map.
  size_t blocks() const { return (words.size() + LAT_BLOCK_WORDS - 1) / LAT_BLOCK_WORDS; }
};

// `egress_slots[i]` is the slot (< LAT_RULE_SLOTS) of rules.egress[i], the same for
// ingress. InvalidArgument: a rule that CheckRule refuses. ResourceExhausted names
// --policy-memory, the bytes needed and the bytes allowed.
absl::StatusOr<CompiledPolicy> Compile(const RuleSet& rules, absl::Span<const uint32_t> egress_slots,
                                       absl::Span<const uint32_t> ingress_slots, uint32_t generation,
                                       const CompileOptions& options);

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_COMPILER_H_
