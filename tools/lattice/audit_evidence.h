// What the control plane knows of a node's audit file, for `lattice audit verify`.
#ifndef TOOLS_LATTICE_AUDIT_EVIDENCE_H_
#define TOOLS_LATTICE_AUDIT_EVIDENCE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "tools/lattice/server_client.h"
#include "userspace/audit/verify.h"

namespace lattice::cli {

// A closed segment's digest as the control plane got it.
struct KnownDigest {
  std::string boot;
  std::string text;
  absl::Time ts;
};

struct Evidence {
  std::vector<audit::KnownLine> lines;  // the newest head of each boot, and each digest's last line
  std::vector<KnownDigest> digests;
  std::vector<std::string> public_keys;  // raw, each once, the first seen first
};

// From the data of GET /api/v1/audit/sources and …/digests; what is of other nodes is left out. Internal: no such
// answer.
absl::StatusOr<Evidence> ParseEvidence(absl::string_view node, absl::string_view sources_json,
                                       absl::string_view digests_json);

// Asks the control plane.
absl::StatusOr<Evidence> FetchEvidence(const ServerClient& server, absl::string_view node);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_AUDIT_EVIDENCE_H_
