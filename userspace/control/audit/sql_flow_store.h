// The FlowStore in SQLite or PostgreSQL: one implementation; store_dialect.h has what they write differently.
//
// Which connection: every call borrows one from the database's pool. In SQLite there is one writer at a time in any
// case, so writers of this process queue at a mutex rather than at the file's lock.
#ifndef USERSPACE_CONTROL_AUDIT_SQL_FLOW_STORE_H_
#define USERSPACE_CONTROL_AUDIT_SQL_FLOW_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "userspace/base/clock.h"
#include "userspace/control/audit/flow_store.h"
#include "userspace/sql/database.h"

namespace lattice::control {

struct SqlFlowStoreOptions {
  // What a write may take at most; an Append() that is late stores nothing and is Unavailable.
  absl::Duration write_timeout = absl::Seconds(30);
  size_t max_rejects = 10'000;  // the oldest above it are deleted
};

class SqlFlowStore : public FlowStore {
 public:
  using Archive = std::function<absl::Status(const std::vector<FlowEvent>&)>;

  // Makes or migrates the tables. `database` and `clock` must outlive it. Unavailable: it can't be reached now.
  static absl::StatusOr<std::unique_ptr<SqlFlowStore>> Create(sql::Database& database,
                                                              const SqlFlowStoreOptions& options = {},
                                                              const Clock& clock = RealClock());

  absl::StatusOr<IngestResult> Append(const IngestBatch& batch) override;

  absl::StatusOr<FlowPage> Query(const FlowQuery& query, absl::Time deadline) override;
  absl::StatusOr<std::vector<FlowEvent>> Arrived(const FlowFilter& filter, const std::string& after_id,
                                                 const std::string& before_id, size_t limit,
                                                 absl::Time deadline) override;
  absl::StatusOr<std::optional<FlowEvent>> ByEventId(const std::string& event_id, absl::Time deadline) override;
  absl::StatusOr<Completeness> ReadCompleteness(absl::Time deadline) override;

  absl::StatusOr<std::vector<TimelinePoint>> Timeline(const FlowFilter& filter, size_t buckets,
                                                      absl::Time deadline) override;
  absl::StatusOr<std::vector<TopEntry>> Top(const FlowFilter& filter, TopBy by, TopMetric metric, size_t limit,
                                            absl::Time deadline) override;
  absl::StatusOr<std::vector<Hint>> Hints(const FlowFilter& filter, size_t limit, absl::Time deadline) override;
  absl::StatusOr<std::vector<AgentSummary>> Agents(const FlowFilter& filter, absl::Time deadline) override;

  absl::StatusOr<std::vector<Source>> Sources(absl::Time deadline) override;
  absl::StatusOr<std::vector<Gap>> Gaps(const std::string& node, const std::string& boot, size_t limit,
                                        absl::Time deadline) override;
  absl::StatusOr<std::vector<AuditHead>> Digests(const std::string& node, size_t limit, absl::Time deadline) override;
  absl::StatusOr<std::vector<Reject>> Rejects(size_t limit, absl::Time deadline) override;

  absl::StatusOr<RetentionReport> DeleteBefore(int64_t before_ns, const Archive& archive, absl::Time deadline) override;
  absl::Status Check(absl::Time deadline) override;

 private:
  SqlFlowStore(sql::Database& database, const SqlFlowStoreOptions& options, const Clock& clock)
      : database_(database), options_(options), clock_(clock) {}

  int64_t NowNs() const { return absl::ToUnixNanos(clock_.Now()); }
  absl::StatusOr<IngestResult> AppendOnce(const IngestBatch& batch, absl::Span<const FlowEvent* const> events,
                                          absl::Time deadline);
  // One transaction of DeleteBefore(); how many rows it deleted.
  absl::StatusOr<int64_t> DeleteEvents(int64_t before_ns, const Archive& archive, absl::Time deadline);
  absl::StatusOr<bool> DeleteAll(const std::string& statement, int64_t before_ns, uint64_t& counter,
                                 absl::Time deadline);

  sql::Database& database_;
  const SqlFlowStoreOptions options_;
  const Clock& clock_;
  absl::Mutex writer_;  // of SQLite
};

// Locks `mutex` only for SQLite.
class SqliteWriterLock {
 public:
  SqliteWriterLock(sql::Engine engine, absl::Mutex& mutex) : mutex_(engine == sql::Engine::kSqlite ? &mutex : nullptr) {
    if (mutex_ != nullptr) mutex_->Lock();
  }
  ~SqliteWriterLock() {
    if (mutex_ != nullptr) mutex_->Unlock();
  }
  SqliteWriterLock(const SqliteWriterLock&) = delete;
  SqliteWriterLock& operator=(const SqliteWriterLock&) = delete;

 private:
  absl::Mutex* mutex_;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_SQL_FLOW_STORE_H_
