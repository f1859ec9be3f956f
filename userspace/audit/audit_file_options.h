// What an AuditFile is told at its start, and what it counts.
#ifndef USERSPACE_AUDIT_AUDIT_FILE_OPTIONS_H_
#define USERSPACE_AUDIT_AUDIT_FILE_OPTIONS_H_

#include <glog/logging.h>
#include <lattice/abi.h>
#include <sys/types.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/signing.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

// When what is written is also forced to the disk.
enum class SyncPolicy {
  kInterval,  // by Tick(), at most sync_interval after the write
  kBatch,     // before Commit() returns
  kAlways,    // every record is written and synced on its own before the next
};

// When the disk takes no more (full, quota, I/O error).
enum class DiskFull {
  kBlock,    // keep the batch; Commit() fails until there is room. The kernel tables are the truth meanwhile.
  kDrop,     // count the batch and go on; a loss record names the number once there is room
  kDenyNew,  // as kBlock, and on_disk_failing(true) lets the caller refuse new flows
};

struct AuditFileOptions {
  std::string path;  // its folder must exist
  std::string node;
  std::string boot;  // ReadBootId()
  // What the file's own records (loss) carry besides.
  std::string agent_id;
  std::string iface;
  lat_mode mode = LAT_MODE_ENFORCE;
  // info.next_seq of the kernel map: numbers go on from here even if the file is gone.
  uint64_t min_next_seq = 1;
  // The kernel's rings were taken over, so a record whose line was cut at start is read
  // again. If false, a cut line is recorded as a loss.
  bool rings_adopted = false;
  // AlreadyWritten() knows this many newest records. At least the largest number of records
  // that the caller may Commit() before it commits the ring.
  size_t recover_records = 16384;

  // Where loss records wait while the file takes none: on another disk, and gone when the machine restarts.
  // Empty: they wait in memory and go with the process.
  std::string parked_path;

  // Where the next number is kept for the case that the pins go and `path` changes; as parked_path. Up to a second
  // old after a crash. Empty: such a start may give out numbers of this boot again.
  std::string mark_path;

  // Signs the digests; null: they are not signed.
  std::shared_ptr<const SigningKey> signing_key;

  mode_t file_mode = 0640;
  int64_t rotate_bytes = int64_t{64} << 20;            // 0: never by size
  absl::Duration rotate_after = absl::ZeroDuration();  // 0: never by time
  int64_t spool_cap_bytes = int64_t{1} << 30;          // of all segments; 0: no cap
  // A publisher reads the file: deleting what its cursor has not passed is a loss.
  bool publishing = false;
  SyncPolicy sync = SyncPolicy::kInterval;
  absl::Duration sync_interval = absl::Seconds(1);
  DiskFull disk_full = DiskFull::kBlock;
  // Called at the first failed Commit() and at the first good one after it.
  std::function<void(bool failing)> on_disk_failing;
};

// Records that do not exist one by one, for a loss record.
struct Loss {
  absl::string_view stage;  // flow/record.h
  uint64_t count = 0;
  absl::Time from;         // it happened between this and now
  uint64_t first_seq = 0;  // the numbers that are missing; 0: none are, or they are not known
  uint64_t last_seq = 0;
  std::string boot;  // whose numbers; empty: of this boot
};

// Lost records by stage. Any thread may read them; they only grow.
class LossCounters {
 public:
  static constexpr std::array kStages = {
      flow::kStageDisk,        flow::kStageSpoolCap,      flow::kStageSeqHole,
      flow::kStageTruncated,   flow::kStageDeleted,       flow::kStageDamaged,
      flow::kStagePartialLine, flow::kStageUnpublishable, flow::kStageSegmentMissing};
  // `stage` is one of these.
  void Add(absl::string_view stage, uint64_t count) {
    counts_[Index(stage)].fetch_add(count, std::memory_order_relaxed);
  }
  uint64_t Of(absl::string_view stage) const { return counts_[Index(stage)]; }

 private:
  static size_t Index(absl::string_view stage) {
    const auto found = std::find(kStages.begin(), kStages.end(), stage);
    CHECK(found != kStages.end()) << stage;
    return static_cast<size_t>(found - kStages.begin());
  }
  std::array<std::atomic<uint64_t>, kStages.size()> counts_{};
};

// Any thread may read them; they only grow.
struct AuditFileCounters {
  std::atomic<uint64_t> written{0};  // records in the file
  std::atomic<uint64_t> written_bytes{0};
  LossCounters lost;                        // not those of the kernel's own counters
  std::atomic<uint64_t> duplicates{0};      // AlreadyWritten() said yes
  std::atomic<uint64_t> write_failures{0};  // failed Commit()s
  std::atomic<uint64_t> sync_failures{0};
  std::atomic<uint64_t> rotations{0};
  std::atomic<uint64_t> damages{0};  // cut, truncated, deleted, unreadable
  std::atomic<uint64_t> segments_deleted{0};
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_AUDIT_FILE_OPTIONS_H_
