// The way back from a line of the audit file to the record: for recovery, the
// publisher and the CLI.
//
// Strict: a wrong type, a number out of its range, an unknown word of an enum, a
// missing key, a duplicate key or anything after the object is InvalidArgument naming
// the key. Unknown keys are skipped (a newer writer adds keys; a change of meaning raises
// `v`, and a `v` above flow::kRecordVersion is refused). Never throws. Any thread.
#ifndef USERSPACE_AUDIT_DECODER_H_
#define USERSPACE_AUDIT_DECODER_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/audit/lines.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

struct DecodedLine {
  flow::FlowRecord record;
  std::string h;  // empty where the line has none
};

// `line` without its '\n'. Longer than kMaxLineBytes: refused unread.
absl::StatusOr<DecodedLine> DecodeLine(absl::string_view line);

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_DECODER_H_
