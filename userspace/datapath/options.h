// What the caller decides about the data plane, and what it gets back for a policy.
// Plain values; the daemon's flags and the tests fill them.
#ifndef USERSPACE_DATAPATH_OPTIONS_H_
#define USERSPACE_DATAPATH_OPTIONS_H_

#include <lattice/abi.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace lattice::datapath {

inline constexpr char kDefaultPinPath[] = "/sys/fs/bpf/lattice";

// How the tc programs are attached. kAuto: tcx where the kernel has it (6.6), clsact otherwise.
enum class TcKind { kAuto, kTcx, kClsact };

struct Options {
  std::string iface;
  bool wait_iface = false;           // it may be missing yet: its hooks are put in by Reattach, once it is there
  std::vector<std::string> cgroups;  // folders under a cgroup2 mount; none may contain another
  lat_mode mode = LAT_MODE_ENFORCE;
  std::string pin_path = kDefaultPinPath;  // pins are in <pin_path>/<iface>/
  std::string version;                     // for operators, in the `info` map

  uint32_t max_flows = 65536;  // per address family
  uint32_t max_denied = 16384;
  uint32_t max_fragments = 4096;
  uint32_t flow_ring_bytes = 16 << 20;  // powers of two, at least a page
  uint32_t denied_ring_bytes = 4 << 20;
  uint64_t policy_memory_bytes = 64 << 20;  // for the address trie; above it the LPM fallback

  absl::Duration flow_idle_timeout = absl::Minutes(2);
  absl::Duration flow_tcp_idle_timeout = absl::Minutes(124);  // RFC 5382 REQ-5: established TCP
  absl::Duration flow_linger = absl::Seconds(10);             // after FIN both ways or RST
  absl::Duration flow_active_timeout = absl::Seconds(60);
  absl::Duration denied_interval = absl::Seconds(10);
  absl::Duration fragment_timeout = absl::Seconds(15);

  bool table_full_allow = false;
  bool loopback_allow = true;  // cgroup scope: 127.0.0.0/8 and ::1 are not judged
  TcKind tc_kind = TcKind::kAuto;
  bool force_lpm = false;  // addresses go to the LPM tries even if the flat table fits
};

// InvalidArgument names the option and the value.
absl::Status Validate(const Options& options);

// What a policy became in the kernel.
struct Receipt {
  uint32_t generation = 0;
  std::string hash;  // of the printed policy, hex SHA-256
  size_t rules = 0;
  size_t prefixes = 0;  // disjoint address ranges of the compiled table, both families and directions
  uint64_t bytes = 0;   // of kernel memory the tables take
  std::string lookup;   // "flat" or "lpm"
  double apply_ms = 0;  // from the call to the moment when every packet is judged by it
};

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_OPTIONS_H_
