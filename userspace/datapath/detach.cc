#include "userspace/datapath/detach.h"

#include <unistd.h>

#include "absl/strings/str_format.h"
#include "userspace/base/status.h"
#include "userspace/datapath/hook.h"
#include "userspace/datapath/pin_owner.h"
#include "userspace/datapath/pins.h"

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
