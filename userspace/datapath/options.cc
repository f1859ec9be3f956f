#include "userspace/datapath/options.h"

#include <unistd.h>

#include <bit>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"

namespace lattice::datapath {
namespace {

absl::Status CheckRing(absl::string_view name, uint32_t bytes) {
  if (std::has_single_bit(bytes) && bytes >= static_cast<uint32_t>(sysconf(_SC_PAGESIZE))) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrFormat("%s is %d: a power of two and at least a page is needed", name, bytes));
}

absl::Status CheckRange(absl::string_view name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat("%s is %d: %d to %d is possible", name, value, low, high));
}

absl::Status CheckDuration(absl::string_view name, absl::Duration value) {
  if (value >= absl::Milliseconds(10) && value <= absl::Hours(24 * 365)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(name, " is ", absl::FormatDuration(value), ": 10ms to a year is possible"));
}

}  // namespace

absl::Status Validate(const Options& options) {
  if (options.iface.empty()) return absl::InvalidArgumentError("--iface is empty: name the interface to enforce on");
  if (options.pin_path.empty() || options.pin_path[0] != '/') {
    return absl::InvalidArgumentError(
        absl::StrFormat("--pin-path is \"%s\": an absolute path is needed", options.pin_path));
  }
  // A value of a preallocated table takes up to 200 bytes: the upper bound is 13 GB.
  LATTICE_RETURN_IF_ERROR(CheckRange("--max-flows", options.max_flows, 1, 1u << 26));
  LATTICE_RETURN_IF_ERROR(CheckRange("max_denied", options.max_denied, 1, 1u << 26));
  LATTICE_RETURN_IF_ERROR(CheckRange("max_fragments", options.max_fragments, 1, 1u << 26));
  LATTICE_RETURN_IF_ERROR(CheckRing("flow_ring_bytes", options.flow_ring_bytes));
  LATTICE_RETURN_IF_ERROR(CheckRing("denied_ring_bytes", options.denied_ring_bytes));
  LATTICE_RETURN_IF_ERROR(CheckDuration("--flow-idle-timeout", options.flow_idle_timeout));
  LATTICE_RETURN_IF_ERROR(CheckDuration("flow_tcp_idle_timeout", options.flow_tcp_idle_timeout));
  LATTICE_RETURN_IF_ERROR(CheckDuration("flow_linger", options.flow_linger));
  LATTICE_RETURN_IF_ERROR(CheckDuration("--flow-active-timeout", options.flow_active_timeout));
  LATTICE_RETURN_IF_ERROR(CheckDuration("denied_interval", options.denied_interval));
  return CheckDuration("fragment_timeout", options.fragment_timeout);
}

}  // namespace lattice::datapath
