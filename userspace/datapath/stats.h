// Counters of the BPF programs, summed over CPUs. They start at zero when the pins
// are made and survive the daemon.
#ifndef USERSPACE_DATAPATH_STATS_H_
#define USERSPACE_DATAPATH_STATS_H_

#include <lattice/abi.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace lattice::datapath {

struct HookCounters {
  std::array<lat_counters, LAT_VERDICT_COUNT> verdict = {};
  std::array<uint64_t, LAT_REASON_COUNT> reason_packets = {};
};

struct RuleHits {
  std::string name;
  std::string text;
  uint64_t hits = 0;
};

struct TableUse {
  uint32_t entries = 0;  // as of the last sweep
  uint32_t capacity = 0;
};

using EventCounts = std::array<uint64_t, LAT_COUNT_COUNT>;  // index lat_counter

struct Stats {
  std::array<HookCounters, LAT_HOOK_COUNT> hooks = {};  // index lat_hook
  EventCounts events = {};
  std::array<std::array<uint64_t, LAT_ERRNO_COUNT>, LAT_MAP_COUNT> map_errors = {};  // [lat_map][lat_errno]
  TableUse flows4, flows6, denied;
  std::vector<RuleHits> rules;  // of the current policy, in its order
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_STATS_H_
