// A message on lattice.audit.head: how far a node's audit file is, and the signed digest of a closed segment.
// Schema: tools/schema/audit-head.schema.json. Any thread. Never throws.
#ifndef USERSPACE_CONTROL_AUDIT_HEAD_MESSAGE_H_
#define USERSPACE_CONTROL_AUDIT_HEAD_MESSAGE_H_

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_store.h"

namespace lattice::control {

// InvalidArgument: malformed, naming the key. A signature that does not verify is no error: see signature_valid.
absl::StatusOr<AuditHead> DecodeHead(absl::string_view message);

// Whether `signature` (base64) is that of `text` by the Ed25519 key `public_key` (base64 of its 32 bytes).
bool VerifySignature(absl::string_view text, absl::string_view signature, absl::string_view public_key);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_HEAD_MESSAGE_H_
