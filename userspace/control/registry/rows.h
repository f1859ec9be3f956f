// Between rows and values. Private to this module.
#ifndef USERSPACE_CONTROL_REGISTRY_ROWS_H_
#define USERSPACE_CONTROL_REGISTRY_ROWS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/control/registry/records.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

// In the order in which the functions below read them.
#define LATTICE_AGENT_COLUMNS                                                                                  \
  "name, app_id, name_space, allowed_tools, public_key, address, status, endpoint, hostname, platform, port, " \
  "keepalive_seconds, generation, enrolled_ns, last_heartbeat_ns, revoked_ns"
#define LATTICE_TOKEN_COLUMNS \
  "id, name, name_space, allowed_tools, created_ns, expires_ns, used_ns, used_by, used_key, revoked_ns, created_by"

Agent ReadAgent(const sql::Row& row);
EnrollmentToken ReadToken(const sql::Row& row);

// Nothing: there is none.
absl::StatusOr<std::optional<Agent>> SelectAgent(sql::Connection& connection, absl::string_view name,
                                                 absl::Time deadline);
absl::StatusOr<std::optional<AgentPolicy>> SelectPolicy(sql::Connection& connection, absl::string_view agent,
                                                        absl::Time deadline);

// Lists of texts are JSON in one column.
std::string EncodeList(const std::vector<std::string>& list);
std::vector<std::string> DecodeList(absl::string_view text);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_ROWS_H_
