// What would stop enforcement here: the checks behind `lattice dp doctor` and behind the
// daemon's messages at start. Reads only; each check stands alone and says what to do.
// Never fails as a whole: a check that can't be made is a check with ok == false.
#ifndef USERSPACE_DATAPATH_PROBE_H_
#define USERSPACE_DATAPATH_PROBE_H_

#include <optional>
#include <string>
#include <vector>

#include "userspace/datapath/options.h"

namespace lattice::datapath {

struct Check {
  std::string name;  // stable, lower case: "kernel.tcx", "capability.cap_bpf", "pins.layout"
  bool ok = false;
  std::string detail;  // what was found
  std::string remedy;  // empty when ok
  bool fatal = false;  // not ok here means Create fails; otherwise it degrades or is only worth a look
};

// Of `options`: iface, pin_path, cgroups and the table sizes (to compare with existing pins). An empty iface leaves
// out what belongs to one, and a check says so.
std::vector<Check> Probe(const Options& options);

// The one check that fails where bpf(2) is closed to us, so that nothing the others find would be true.
std::optional<Check> MissingPrivilege();

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PROBE_H_
