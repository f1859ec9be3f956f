// Sums the per-CPU counters of the BPF programs into Stats. Any thread.
#ifndef USERSPACE_DATAPATH_READ_STATS_H_
#define USERSPACE_DATAPATH_READ_STATS_H_

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "userspace/datapath/programs.h"
#include "userspace/datapath/stats.h"

namespace lattice::datapath {

absl::StatusOr<EventCounts> ReadEventCounts(const Programs::MapFds& maps);

// Fills hooks, events and map_errors.
absl::Status ReadCounters(const Programs::MapFds& maps, Stats* stats);

// The same, but map_errors, from the pins of a folder; its layout must be of this version (lat_info.abi_version).
absl::StatusOr<Stats> ReadPinnedCounters(const std::string& folder);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_READ_STATS_H_
