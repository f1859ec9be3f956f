// Messages that the control plane did not take as records.
#ifndef TOOLS_LATTICE_REJECTS_H_
#define TOOLS_LATTICE_REJECTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/lattice/server_client.h"

namespace lattice::cli {

// As the control plane says it; node, boot and seq are what the message said of itself: empty and 0 if nothing.
struct RejectedMessage {
  std::string time;
  std::string reason;
  std::string detail;
  std::string subject;
  std::string node;
  std::string boot;
  uint64_t seq = 0;
};

// Of one call.
constexpr uint64_t kMaxRejects = 1000;

// GET /api/v1/audit/rejects, newest first. Internal: the answer is none that this version knows.
absl::StatusOr<std::vector<RejectedMessage>> ReadRejects(const ServerClient& server, uint64_t limit);

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_REJECTS_H_
