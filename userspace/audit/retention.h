// Keeps the audit files under a total size by deleting the oldest closed segments.
//
// Under it nothing is deleted, published or not: should the stream lose what it acknowledged, the publisher goes back
// (checkpoints.h), to the oldest line if need be.
#ifndef USERSPACE_AUDIT_RETENTION_H_
#define USERSPACE_AUDIT_RETENTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "userspace/audit/file_system.h"

namespace lattice::audit {

struct DeletedSegment {
  std::string path;
  std::string boot;
  absl::Time first_ts;
  // Of the records that nobody had published; 0: all were, or nothing is published at all.
  uint64_t lost = 0;
  uint64_t lost_first_seq = 0;
  uint64_t lost_last_seq = 0;
};

// Deletes closed segments with their digests, oldest first, until all together are at most
// `cap_bytes`. The live file is never deleted. With `publishing`, what is after the stored
// cursor counts as lost. `deleted` also holds what was deleted before an error.
absl::Status PruneSegments(FileSystem& fs, const std::string& audit_path, int64_t cap_bytes, bool publishing,
                           std::vector<DeletedSegment>* deleted);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_RETENTION_H_
