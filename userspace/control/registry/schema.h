// The registry's tables. Private to this module.
#ifndef USERSPACE_CONTROL_REGISTRY_SCHEMA_H_
#define USERSPACE_CONTROL_REGISTRY_SCHEMA_H_

#include "absl/types/span.h"
#include "userspace/sql/migrate.h"

namespace lattice::control {

inline constexpr char kRegistrySchema[] = "registry";
absl::Span<const sql::Migration> RegistryMigrations();

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_SCHEMA_H_
