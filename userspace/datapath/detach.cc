#include "userspace/datapath/detach.h"

#include <lattice/abi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/base/unique_fd.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/kernel_object.h"
#include "userspace/datapath/pin_owner.h"
#include "userspace/datapath/pins.h"
#include "userspace/datapath/table_scan.h"

namespace lattice::datapath {
namespace {

absl::Status RemoveFilters(const std::string& iface, DetachReport* report) {
  const absl::StatusOr<int> ifindex = InterfaceIndex(iface);
  if (absl::IsNotFound(ifindex.status())) return absl::OkStatus();  // filters go with their device
  LATTICE_RETURN_IF_ERROR(ifindex.status());
  bool removed = false;
  for (const lat_direction direction : {LAT_EGRESS, LAT_INGRESS}) {
    LATTICE_ASSIGN_OR_RETURN(const bool one, RemoveClsactFilter(*ifindex, direction));
    if (one) report->removed.push_back(absl::StrCat("filter ", direction == LAT_EGRESS ? "egress" : "ingress"));
    removed = removed || one;
  }
  if (!removed) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(const bool qdisc, RemoveEmptyClsact(*ifindex));
  if (qdisc) report->removed.push_back("qdisc clsact");
  return absl::OkStatus();
}

// Records between the two positions of a ring: each is its kernel header of 8 bytes and a lat_record, and a few may be
// discarded ones.
absl::StatusOr<uint64_t> RecordsInRing(int ring) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  uint64_t position[2] = {};
  for (size_t i = 0; i < 2; ++i) {  // the consumer's page, then the producer's
    void* memory = mmap(nullptr, page, PROT_READ, MAP_SHARED, ring, static_cast<off_t>(i * page));
    if (memory == MAP_FAILED) return BpfError(errno, "looking into a ring");
    position[i] = *static_cast<const volatile uint64_t*>(memory);
    munmap(memory, page);
  }
  return (position[1] - position[0]) / (sizeof(lat_record) + 8);
}

template <typename Key>
absl::StatusOr<uint64_t> LiveFlows(int table) {
  uint64_t flows = 0;
  const absl::Status scanned = ScanHash<Key, lat_flow>(table, [&](const Key&, const lat_flow& flow) {
    flows += (flow.flags & LAT_FLOW_VACANT) == 0;
    return true;
  });
  if (!scanned.ok()) return scanned;
  return flows;
}

absl::StatusOr<uint64_t> AttemptsWithNews(int table) {
  uint64_t attempts = 0;
  const absl::Status scanned =
      ScanHash<lat_denied_key, lat_denied>(table, [&](const lat_denied_key&, const lat_denied& attempt) {
        attempts += attempt.packets != attempt.reported_packets;
        return true;
      });
  if (!scanned.ok()) return scanned;
  return attempts;
}

// Links first: a program never runs without the maps that operators look at.
absl::Status RemovePins(const std::string& folder, DetachReport* report) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListPins(folder));
  absl::Status first;
  for (const bool links : {true, false}) {
    for (const std::string& name : names) {
      if (IsLinkPin(name) != links) continue;
      const std::string path = absl::StrCat(folder, "/", name);
      const absl::Status removed = links ? RemoveLink(path) : RemovePin(path);
      first.Update(removed);
      if (removed.ok()) report->removed.push_back(links ? name : absl::StrCat("map ", name));
    }
  }
  LATTICE_RETURN_IF_ERROR(first);
  return RemovePinFolder(folder);
}

}  // namespace

absl::StatusOr<uint64_t> CountUntold(const std::string& iface, const std::string& pin_path) {
  const std::string folder = PinFolder(pin_path, iface);
  const std::pair<const char*, absl::StatusOr<uint64_t> (*)(int)> counts[] = {
      {"flows4", LiveFlows<lat_flow4_key>}, {"flows6", LiveFlows<lat_flow6_key>}, {"denied", AttemptsWithNews},
      {"flow_ring", RecordsInRing},         {"denied_ring", RecordsInRing},
  };
  uint64_t untold = 0;
  for (const auto& [name, count] : counts) {
    LATTICE_ASSIGN_OR_RETURN(const UniqueFd map, OpenPin(absl::StrCat(folder, "/", name)));
    LATTICE_ASSIGN_OR_RETURN(const uint64_t records, count(map.get()));
    untold += records;
  }
  return untold;
}

absl::StatusOr<DetachReport> Detach(const std::string& iface, const std::string& pin_path) {
  LATTICE_ASSIGN_OR_RETURN(const bool foreign, PinsAreOfAnotherNamespace(iface, pin_path));
  if (foreign) {
    return absl::FailedPreconditionError(
        absl::StrFormat("the pins in %s enforce on an interface %s of another network namespace: nothing is removed; "
                        "run this in that namespace (nsenter --net=…)",
                        PinFolder(pin_path, iface), iface));
  }
  DetachReport report;
  absl::Status first = RemoveFilters(iface, &report);
  first.Update(RemovePins(PinFolder(pin_path, iface), &report));
  LATTICE_RETURN_IF_ERROR(Annotate(first, absl::StrCat("while detaching from ", iface)));
  if (report.removed.empty()) {
    return absl::NotFoundError(
        absl::StrFormat("nothing of Lattice is attached to %s (no pins in %s)", iface, PinFolder(pin_path, iface)));
  }
  return report;
}

}  // namespace lattice::datapath
