// What a restarted writer must know of the file it goes on with: where whole lines end,
// the last number and hash, and which records are already in it. Reads, never
// writes. One call, any thread.
#ifndef USERSPACE_AUDIT_RECOVERY_H_
#define USERSPACE_AUDIT_RECOVERY_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/chain.h"
#include "userspace/audit/digest.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/segment.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

struct Recovered {
  int64_t size = 0;        // of the file as it is
  int64_t whole_size = 0;  // up to and with the last '\n'
  // False if the file's beginning is not one of ours: then nothing of it may be changed.
  bool ours = true;
  // Whether the first and the last whole line decode. What follows is of these two; of the
  // last readable line where the last is not.
  bool first_readable = false;
  bool last_readable = false;
  std::string boot;
  SegmentState segment;
  std::string head;
  absl::Time first_ts;
};

// Scans one file (the live one); its whole lines go into `sha`, which may be null.
absl::StatusOr<Recovered> ScanSegment(File& file, Sha256* sha);

// The identities of the last `count` records of `boot`, over as many segments as that takes.
absl::StatusOr<absl::flat_hash_set<flow::RecordIdentity>> RecentRecords(FileSystem& fs, const std::string& audit_path,
                                                                        absl::string_view boot, size_t count);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_RECOVERY_H_
