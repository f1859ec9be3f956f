// Whose the pins of an interface name are: they are found by the name alone, which another network
// namespace may have too. Any thread.
#ifndef USERSPACE_DATAPATH_PIN_OWNER_H_
#define USERSPACE_DATAPATH_PIN_OWNER_H_

#include <string>

#include "absl/status/statusor.h"

namespace lattice::datapath {

// Whether they enforce on an interface of another network namespace than the caller's. False: there are none, they
// are of this namespace, or their interface is gone. Where no link tells (clsact, or an interface that has not come
// yet), it is gone if no latticed-dp runs for one of its name elsewhere; a WARNING says so.
absl::StatusOr<bool> PinsAreOfAnotherNamespace(const std::string& iface, const std::string& pin_path);

}  // namespace lattice::datapath

#endif  // USERSPACE_DATAPATH_PIN_OWNER_H_
