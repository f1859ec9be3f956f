// The places where the programs sit in the kernel, and what the kernel says is there.
#ifndef USERSPACE_DATAPATH_HOOKS_H_
#define USERSPACE_DATAPATH_HOOKS_H_

#include <lattice/abi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace lattice::datapath {

// "tc_egress", "tc_ingress", "cgroup_egress", "cgroup_ingress": the label of metrics and pins.
absl::string_view HookName(lat_hook hook);

// A program in front of ours. It may end the chain (TCX_PASS, TC_ACT_OK) and so hide packets from us.
struct ForeignProgram {
  uint32_t prog_id = 0;  // 0 where the kernel doesn't tell (a classifier that is no BPF program)
  std::string name;      // empty without CAP_SYS_ADMIN
};

// One hook, as the kernel describes it at the time of the call.
struct HookStatus {
  lat_hook hook = LAT_HOOK_TC_EGRESS;
  std::string target;  // interface, or cgroup path
  uint64_t cgroup_id = 0;
  std::string kind;       // "tcx", "clsact", "cgroup"
  bool attached = false;  // our program, of this load, is in the chain of the present device or cgroup
  // attached, a policy is published and the mode is enforce. Programs in front of us don't
  // change it (most only look): they are in `foreign_before` and in `detail`.
  bool enforcing = false;
  uint32_t prog_id = 0;
  int position = -1;  // in the chain, 0 is first; -1: not in it
  int chain_length = 0;
  std::vector<ForeignProgram> foreign_before;  // always empty for cgroup: every program there has a veto
  std::string detail;                          // why not attached or what to look at; empty when all is well
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_HOOKS_H_
