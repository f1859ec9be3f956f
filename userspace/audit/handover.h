// What somebody who takes a data plane away without a daemon leaves for the next one to
// tell: the records that nobody can write any more, and the next free number. They go
// where an AuditFile looks for them (AuditFileOptions::parked_path, mark_path).
#ifndef USERSPACE_AUDIT_HANDOVER_H_
#define USERSPACE_AUDIT_HANDOVER_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "userspace/audit/file_system.h"
#include "userspace/base/clock.h"

namespace lattice::audit {

struct Handover {
  std::string parked_path;
  std::string mark_path;
  std::string boot;  // ReadBootId()
  std::string iface;
  uint64_t next_seq = 0;  // the first number not given out, as the pins have it
  uint64_t lost = 0;      // records
};

// Adds a loss record of stage `detached` to what is parked, unless nothing is lost, and moves the mark on. Hold the
// InterfaceLock: no AuditFile of this interface may be open.
absl::Status HandOver(FileSystem& fs, const Clock& clock, const Handover& handover);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_HANDOVER_H_
