// The audit file's segments on disk: the live file and those closed before it.
//
//   audit.jsonl                       live
//   audit-<boot>-<first seq>.jsonl    closed by rotation
//   audit-<boot>-<first seq>.digest   what the closed one held: see digest.h
//   audit.jsonl.1, audit.jsonl-2026…  renamed or copied by logrotate: found by content
//   audit-<boot>-<first seq>.digest.sig   the node's signature over it
//   audit.jsonl.key                   the node's private key, see signing.h
//   audit.jsonl.cursor                how far the publisher is, see cursor.h
//   audit.jsonl.checkpoints           how far it was, see checkpoints.h
//   audit.jsonl.heads                 which digests it published, see heads.h
//
// A segment is of one boot and is known by {boot, first seq} of its first line. Pure
// functions over the file system; any thread.
#ifndef USERSPACE_AUDIT_SEGMENT_H_
#define USERSPACE_AUDIT_SEGMENT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/file_system.h"

namespace lattice::audit {

struct Segment {
  std::string path;
  FileInfo info;
  bool live = false;  // it is the audit path itself
  std::string boot;   // of the first line
  uint64_t first_seq = 0;
  absl::Time first_ts;
  std::string first_line;
};

// "<folder>/<stem>-<boot>-<seq>.jsonl" beside `audit_path`; the stem is its name without ".jsonl".
std::string SegmentPath(absl::string_view audit_path, absl::string_view boot, uint64_t first_seq);
std::string FolderOf(absl::string_view path);  // "." for a bare name

// All segments with at least one whole line, oldest first: by number within a boot, boots by
// the hash chain and, where it does not tell, by time. Of two files with the same first record
// (copytruncate) the longer one. Files that are no audit segments are left out,
// those of an audit file with a longer name beside it too.
absl::StatusOr<std::vector<Segment>> ListSegments(FileSystem& fs, absl::string_view audit_path);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_SEGMENT_H_
