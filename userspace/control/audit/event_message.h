// From a message on lattice.audit.flow to a FlowEvent.
//
// Two writers speak there: ours (tools/schema/flow-record.schema.json) and older agents, whose messages have only
// agentId traceId direction dstIp dstPort bytes ts. Unknown keys are ignored. Any thread. Never throws.
#ifndef USERSPACE_CONTROL_AUDIT_EVENT_MESSAGE_H_
#define USERSPACE_CONTROL_AUDIT_EVENT_MESSAGE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/audit/flow_event.h"

namespace lattice::control {

// A message may have as many bytes as a line of the audit file.
inline constexpr size_t kMaxMessageBytes = 64 * 1024;
// A record from further ahead of the NATS server's clock would lead every list and outlive every retention.
inline constexpr int64_t kMaxAheadNs = int64_t{24} * 3600 * 1'000'000'000;

// InvalidArgument: malformed, naming the key. FailedPrecondition: `v` is of a newer writer. OutOfRange: dated more than
// kMaxAheadNs ahead. ResourceExhausted: over kMaxMessageBytes.
absl::StatusOr<FlowEvent> DecodeMessage(absl::string_view message, const StreamPlace& place);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_EVENT_MESSAGE_H_
