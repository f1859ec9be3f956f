// Whose each source is: the first agent whose message names a (node, boot) owns it, la_flow_sources.agent_id says so.
// Only for batches whose agents are verified, see IngestBatch::agents_verified.
//
// Used within one transaction that holds the locks of the nodes, so of two replicas one is the first; not thread-safe.
// Asks once for each source and transaction. Nothing is remembered longer: retention deletes sources that are over.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_OWNERS_H_
#define USERSPACE_CONTROL_AUDIT_STORE_OWNERS_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_event.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

class SourceOwners {
 public:
  SourceOwners(sql::Connection& connection, int64_t now_ns, absl::Time deadline)
      : connection_(connection), now_ns_(now_ns), deadline_(deadline) {}

  // Whether all sources that it names are its agent's, which they become if they were nobody's. PermissionDenied names
  // the source and its owner; another error is the database's.
  absl::Status Admit(const FlowEvent& event);
  absl::Status Admit(const AuditHead& head);

 private:
  using Key = std::pair<std::string, std::string>;  // node, boot

  absl::Status Admit(const std::string& node, const std::string& boot, const std::string& agent_id);
  // Makes it `agent_id`'s if it is nobody's.
  absl::StatusOr<std::string> ReadOwner(const Key& source, const std::string& agent_id);

  sql::Connection& connection_;
  const int64_t now_ns_;
  const absl::Time deadline_;
  std::map<Key, std::string> owners_;
  const std::pair<const Key, std::string>* last_ = nullptr;  // of owners_: the next is mostly of the same boot
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_OWNERS_H_
