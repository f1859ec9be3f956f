// Where the audit file of this node is when --audit-log is not given.
#ifndef TOOLS_LATTICE_AUDIT_LOG_H_
#define TOOLS_LATTICE_AUDIT_LOG_H_

#include <string>

#include "absl/status/statusor.h"

namespace lattice::cli {

// The one audit file under /var/log/lattice. InvalidArgument: there is none, or there are several.
absl::StatusOr<std::string> DefaultAuditLog();

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_AUDIT_LOG_H_
