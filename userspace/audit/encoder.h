// A flow record as text: one JSON object for the local file, another for NATS.
// Schema of both: tools/schema/flow-record.schema.json.
//
// Upstream's parsers exist, so their keys come first, in their order:
//   file: identity src_ip dst_ip dst_port protocol verdict
//   NATS: agentId traceId direction dstIp dstPort bytes ts
// and ours follow. A fact that one of upstream's keys tells is not repeated under
// another name. Policy and loss records have these keys too, empty or 0. Keys of
// unknown facts (host, pid, comm, cgroup, traceId in the file) are left out.
//
// The promise: the output is one line of valid JSON in UTF-8 whatever the record's
// strings hold (bad UTF-8 becomes U+FFFD), and DecodeLine() reads it back. No
// allocation but the growth of buffers. An encoder belongs to one thread.
#ifndef USERSPACE_AUDIT_ENCODER_H_
#define USERSPACE_AUDIT_ENCODER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "userspace/flow/record.h"

namespace lattice::audit {

inline constexpr absl::string_view kFlowSubject = "lattice.audit.flow";

// The text of the second printed last: records come by the thousand per second.
struct PrintedSecond {
  int64_t unix_seconds = INT64_MIN;
  char text[19];  // "2026-01-31T12:00:00"
};

class Encoder {
 public:
  // Appends the file's line without `h` and without a line end: "{…}". See chain.h.
  void AppendLine(const flow::FlowRecord& record, std::string& out);
  // Appends the NATS message.
  void AppendMessage(const flow::FlowRecord& record, std::string& out);

 private:
  char* Reserve(const flow::FlowRecord& record);

  std::unique_ptr<char[]> scratch_;
  size_t scratch_size_ = 0;
  PrintedSecond ts_;
  PrintedSecond start_;
};

}  // namespace lattice::audit

#endif  // USERSPACE_AUDIT_ENCODER_H_
