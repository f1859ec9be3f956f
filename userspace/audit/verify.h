// Checks the audit files against their hash chain and digests: did anybody change,
// remove, add or move a line?
//
// What it can't see: a cut at the end of the live file, unless the caller knows from
// elsewhere how far it went (VerifyOptions). Reads only. Any thread.
#ifndef USERSPACE_AUDIT_VERIFY_H_
#define USERSPACE_AUDIT_VERIFY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/audit/file_system.h"

namespace lattice::audit {

// A line that somebody out of reach of this machine has seen: a head or a digest at the control plane.
struct KnownLine {
  std::string boot;
  uint64_t seq = 0;
  std::string h;
  absl::Time ts;  // about when it was written
};

struct VerifyOptions {
  // The newest record that must be there (boot and number), and its h, where known.
  std::string last_boot;
  uint64_t last_seq = 0;
  std::string head;
  // Each must be there with its h, unless it is older than the oldest line.
  std::vector<KnownLine> known;
  // Raw Ed25519 key that must have signed every digest. Empty: signatures are not looked at.
  std::string public_key;
  // Called now and then with the bytes read so far.
  std::function<void(uint64_t bytes)> on_progress = [](uint64_t) {};
  size_t max_problems = 100;
};

enum class ProblemKind {
  kUnreadable,        // a line is no record
  kHash,              // h does not follow from the line and the one before: changed, moved, added or one missing before
  kSequence,          // numbers leave one out, repeat or go back
  kBoot,              // a segment holds lines of two boots
  kPartialLine,       // a closed segment does not end with a line end
  kDigest,            // a digest is unreadable or does not agree with its segment
  kDigestMissing,     // a closed segment has none
  kDigestChain,       // a digest does not name the one before
  kCutEnd,            // the newest records are missing
  kSignature,         // a digest is not signed by the key
  kSignatureMissing,  // a digest has no signature
};
absl::string_view ProblemKindName(ProblemKind kind);

struct Problem {
  ProblemKind kind;
  std::string path;
  uint64_t line = 0;  // from 1; 0: the file as a whole
  std::string text;
};

struct VerifyReport {
  uint64_t segments = 0;
  uint64_t lines = 0;
  uint64_t signatures = 0;  // good ones
  uint64_t known_found = 0;
  uint64_t known_older = 0;  // than the oldest line
  std::string last_boot;     // of the newest line
  uint64_t last_seq = 0;
  std::string head;  // its h
  // Empty: the chain was checked from its very beginning. Otherwise older segments are
  // deleted, and this is the eventId of the oldest line, whose own h nothing confirms.
  std::string anchor;
  std::vector<Problem> problems;
  bool ok() const { return problems.empty(); }
};

// An error only if the files can't be read at all; what is wrong in them is in the report.
absl::StatusOr<VerifyReport> VerifyChain(FileSystem& fs, const std::string& audit_path, const VerifyOptions& options);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_VERIFY_H_
