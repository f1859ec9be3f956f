// The tables of the audit pipeline, as migrations of the module "audit".
#ifndef USERSPACE_CONTROL_SCHEMA_AUDIT_SCHEMA_H_
#define USERSPACE_CONTROL_SCHEMA_AUDIT_SCHEMA_H_

#include <vector>

#include "userspace/sql/migrate.h"

namespace lattice::control {

const std::vector<sql::Migration>& AuditMigrations();

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_SCHEMA_AUDIT_SCHEMA_H_
