#include "userspace/control/audit/sql_flow_store.h"

#include "absl/memory/memory.h"
#include "userspace/base/status.h"
#include "userspace/control/schema/audit_schema.h"
#include "userspace/sql/migrate.h"

namespace lattice::control {

absl::StatusOr<std::unique_ptr<SqlFlowStore>> SqlFlowStore::Create(sql::Database& database,
                                                                   const SqlFlowStoreOptions& options,
                                                                   const Clock& clock) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database.Borrow());
  LATTICE_RETURN_IF_ERROR(sql::Migrate(*connection, "audit", AuditMigrations()));
  return absl::WrapUnique(new SqlFlowStore(database, options, clock));
}

absl::Status SqlFlowStore::Check(absl::Time deadline) {
  SqliteWriterLock lock(database_.engine(), writer_);
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  // A write, or a full disk and a standby would look healthy.
  return connection->Execute("UPDATE la_schema SET version = version WHERE module = 'audit'", {}, deadline).status();
}

}  // namespace lattice::control
