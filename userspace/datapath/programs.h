// The BPF object of bpf/, loaded: its programs and its maps, the latter new and pinned
// or taken over from the pins of an earlier daemon. The only user of the skeleton.
//
// Immutable after Load, but for what `info()` and `rule_hits()` point at, which is memory
// shared with the BPF programs. Any thread.
#ifndef USERSPACE_DATAPATH_PROGRAMS_H_
#define USERSPACE_DATAPATH_PROGRAMS_H_

#include <lattice/abi.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "userspace/datapath/options.h"

struct lattice_bpf;

namespace lattice::datapath {

// The constants that `options` become in the programs; l2_bytes is of the device.
absl::StatusOr<lat_config> MakeConfig(const Options& options, uint32_t l2_bytes);

class Programs {
 public:
  // Over the maps pinned in `folder`, or new ones that get pinned there. FailedPrecondition: pins of
  // another layout or size, or a kernel that lacks a feature (the last lines of the verifier's log are in
  // the message, all of it in VLOG(1)).
  static absl::StatusOr<std::unique_ptr<Programs>> Load(const Options& options, const lat_config& config,
                                                        const std::string& folder);
  ~Programs();
  Programs(const Programs&) = delete;
  Programs& operator=(const Programs&) = delete;

  bool adopted() const { return adopted_; }

  // Pins the maps again that somebody unpinned; whether there were some.
  absl::StatusOr<bool> RestorePins(const std::string& folder) const;

  int program_fd(lat_hook hook) const;
  uint32_t program_id(lat_hook hook) const { return program_ids_[hook]; }
  int sweep_fd() const;

  struct MapFds {
    int flows4, flows6, denied, policy, policy_more, lpm4, lpm6, rules, hook_stats, reason_stats, events, map_errors,
        flow_ring, denied_ring;
  };
  const MapFds& maps() const { return maps_; }

  lat_info* info() const;
  absl::Span<lat_u64> rule_hits() const { return rule_hits_; }  // LAT_RULE_SLOTS of them

 private:
  Programs() = default;
  absl::Status ReadFds();

  lattice_bpf* skeleton_ = nullptr;
  bool adopted_ = false;
  MapFds maps_ = {};
  uint32_t program_ids_[LAT_HOOK_COUNT] = {};
  absl::Span<lat_u64> rule_hits_;
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PROGRAMS_H_
