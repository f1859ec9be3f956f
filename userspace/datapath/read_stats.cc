#include "userspace/datapath/read_stats.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <vector>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/kernel_object.h"

namespace lattice::datapath {
namespace {

// The element `index` of a per-CPU array of structs of 64-bit counters, summed over CPUs.
template <typename Counters>
absl::StatusOr<Counters> ReadPerCpu(int map, uint32_t index) {
  static_assert(sizeof(Counters) % sizeof(uint64_t) == 0);
  constexpr size_t kWords = sizeof(Counters) / sizeof(uint64_t);
  std::vector<uint64_t> values(kWords * static_cast<size_t>(libbpf_num_possible_cpus()));
  if (bpf_map_lookup_elem(map, &index, values.data()) != 0) return BpfError(errno, "reading a BPF counter");
  uint64_t sums[kWords] = {};
  for (size_t i = 0; i < values.size(); ++i) sums[i % kWords] += values[i];
  Counters result;
  std::memcpy(&result, sums, sizeof(result));
  return result;
}

}  // namespace

absl::StatusOr<EventCounts> ReadEventCounts(const Programs::MapFds& maps) {
  EventCounts events;
  for (uint32_t event = 0; event < LAT_COUNT_COUNT; ++event) {
    LATTICE_ASSIGN_OR_RETURN(events[event], ReadPerCpu<uint64_t>(maps.events, event));
  }
  return events;
}

namespace {

absl::Status ReadHooks(const Programs::MapFds& maps, Stats* stats) {
  for (uint32_t hook = 0; hook < LAT_HOOK_COUNT; ++hook) {
    LATTICE_ASSIGN_OR_RETURN(const lat_hook_stats counters, ReadPerCpu<lat_hook_stats>(maps.hook_stats, hook));
    std::copy(std::begin(counters.verdict), std::end(counters.verdict), stats->hooks[hook].verdict.begin());
    for (uint32_t reason = 0; reason < LAT_REASON_COUNT; ++reason) {
      LATTICE_ASSIGN_OR_RETURN(stats->hooks[hook].reason_packets[reason],
                               ReadPerCpu<uint64_t>(maps.reason_stats, hook * LAT_REASON_COUNT + reason));
    }
  }
  LATTICE_ASSIGN_OR_RETURN(stats->events, ReadEventCounts(maps));
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadCounters(const Programs::MapFds& maps, Stats* stats) {
  LATTICE_RETURN_IF_ERROR(ReadHooks(maps, stats));
  for (uint32_t map = 0; map < LAT_MAP_COUNT; ++map) {
    for (uint32_t error = 0; error < LAT_ERRNO_COUNT; ++error) {
      LATTICE_ASSIGN_OR_RETURN(stats->map_errors[map][error],
                               ReadPerCpu<uint64_t>(maps.map_errors, map * LAT_ERRNO_COUNT + error));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Stats> ReadPinnedCounters(const std::string& folder) {
  LATTICE_ASSIGN_OR_RETURN(const UniqueFd hooks, OpenPin(absl::StrCat(folder, "/hook_stats")));
  LATTICE_ASSIGN_OR_RETURN(const UniqueFd reasons, OpenPin(absl::StrCat(folder, "/reason_stats")));
  LATTICE_ASSIGN_OR_RETURN(const UniqueFd events, OpenPin(absl::StrCat(folder, "/events")));
  Programs::MapFds maps = {};
  maps.hook_stats = hooks.get();
  maps.reason_stats = reasons.get();
  maps.events = events.get();
  Stats stats;
  LATTICE_RETURN_IF_ERROR(ReadHooks(maps, &stats));
  return stats;
}

}  // namespace lattice::datapath
