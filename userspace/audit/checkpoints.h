// Where in the stream what a cursor says is stored: for going back when the stream lost what it had acknowledged.
//
// nats-server 2.9 syncs its store every two minutes, so a crash of its machine takes acknowledged messages away; a
// restored backup takes more. The state file `<audit>.checkpoints` holds one JSON object a line, oldest first:
//   {"at":"2026-…Z","boot":"…","firstSeq":1,"msgId":"node/boot/9","offset":4096,"seq":9,"sequence":9,"stream":17…}
// that is a cursor (cursor.h) and the message, number `sequence` of the stream made at `stream` (Unix ns), up to which
// everything before the cursor is stored. The newest is in the cursor's own file, with the same keys. One thread.
#ifndef USERSPACE_AUDIT_CHECKPOINTS_H_
#define USERSPACE_AUDIT_CHECKPOINTS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/cursor.h"
#include "userspace/audit/file_system.h"
#include "userspace/audit/sink.h"

namespace lattice::audit {

struct Checkpoint {
  Cursor cursor;
  StoredAt stored;
  absl::Time at;

  bool operator==(const Checkpoint&) const = default;
};

std::string EncodeCheckpoint(const Checkpoint& checkpoint);
absl::StatusOr<Checkpoint> DecodeCheckpoint(absl::string_view text);

std::string CheckpointsPath(absl::string_view audit_path);

class Checkpoints {
 public:
  // What is kept: one for each kSpacing of the last kWindow, the newest, and one that is older than all that.
  static constexpr absl::Duration kWindow = absl::Minutes(10);
  static constexpr absl::Duration kSpacing = absl::Seconds(5);
  static constexpr size_t kMost = 256;  // whatever the clock does

  // InvalidArgument with the line's number. Oldest first.
  static absl::StatusOr<Checkpoints> Decode(absl::string_view text);
  // All but the newest, which changes with every batch and is stored with the cursor.
  std::string EncodeOlder() const;

  void Add(Checkpoint checkpoint);
  // Drops all from `index` on.
  void Cut(size_t index) { all_.resize(index); }
  const std::vector<Checkpoint>& all() const { return all_; }

 private:
  std::vector<Checkpoint> all_;
};

// With the newest one out of the cursor's file. What can't be read is logged and left out.
Checkpoints LoadCheckpoints(FileSystem& fs, const std::string& audit_path);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_CHECKPOINTS_H_
