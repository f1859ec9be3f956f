#include "userspace/control/audit/store_owners.h"

#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice::control {

absl::StatusOr<std::string> SourceOwners::ReadOwner(const Key& source, const std::string& agent_id) {
  const auto& [node, boot] = source;
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> rows,
      connection_.Query("SELECT agent_id FROM la_flow_sources WHERE node = ? AND boot = ?", {node, boot}, deadline_));
  if (!rows.empty() && !rows[0][0].text().empty()) return rows[0][0].TakeText();
  LATTICE_RETURN_IF_ERROR(
      connection_
          .Execute("INSERT INTO la_flow_sources (node, boot, agent_id, last_seen) VALUES (?, ?, ?, ?) "
                   "ON CONFLICT (node, boot) DO UPDATE SET agent_id = excluded.agent_id",
                   {node, boot, agent_id, now_ns_}, deadline_)
          .status());
  return agent_id;
}

absl::Status SourceOwners::Admit(const std::string& node, const std::string& boot, const std::string& agent_id) {
  if (last_ == nullptr || last_->first.first != node || last_->first.second != boot) {
    Key source(node, boot);
    auto found = owners_.find(source);
    if (found == owners_.end()) {
      LATTICE_ASSIGN_OR_RETURN(std::string owner, ReadOwner(source, agent_id));
      found = owners_.emplace(std::move(source), std::move(owner)).first;
    }
    last_ = &*found;
  }
  if (last_->second == agent_id) return absl::OkStatus();
  return absl::PermissionDeniedError(absl::StrCat("boot ", boot, " of node ", node, " is of the agent \"",
                                                  last_->second, "\"; this message is of \"", agent_id, "\""));
}

absl::Status SourceOwners::Admit(const FlowEvent& event) {
  if (event.node.empty()) return absl::OkStatus();  // of an older agent: it names no source
  LATTICE_RETURN_IF_ERROR(Admit(event.node, event.boot, event.agent_id));
  if (event.event != "loss" || event.lost_boot.empty()) return absl::OkStatus();
  return Admit(event.node, event.lost_boot, event.agent_id);
}

absl::Status SourceOwners::Admit(const AuditHead& head) {
  return Admit(head.node, head.boot, head.agent_id);
}

}  // namespace lattice::control
