#include "userspace/control/registry/records.h"

namespace lattice::control {

const char* StatusName(AgentStatus status) {
  switch (status) {
    case AgentStatus::kPending:
      return "pending";
    case AgentStatus::kActive:
      return "active";
    case AgentStatus::kRevoked:
      return "revoked";
  }
  return "revoked";
}

}  // namespace lattice::control
