// A record of the control plane as a line for people.
#ifndef TOOLS_LATTICE_EVENT_LINE_H_
#define TOOLS_LATTICE_EVENT_LINE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice::cli {

// "2026-11-24 19:07:10.120  agent-001  allow end     tcp 10.42.0.1:5000 -> 10.42.0.10:443  1.2 KiB  10.42.0.10/32".
// Control characters in it become '?'. Internal: it is no record.
absl::StatusOr<std::string> EventLine(absl::string_view json);

// `text`, UTF-8, with control characters (C0, DEL, C1) as '?': what agents wrote must not steer a terminal.
std::string Printable(absl::string_view text);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_EVENT_LINE_H_
