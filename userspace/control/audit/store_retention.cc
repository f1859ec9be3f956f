// DeleteBefore(): what is old goes in transactions of some thousand rows, so that writers never wait long.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_rollup.h"
#include "userspace/control/audit/store_rows.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

constexpr int64_t kRowsAtOnce = 2'000;

// What belongs to boots that are over. A node's newest boot stays: by it the store knows the node.
constexpr struct {
  const char *table, *key, *condition;
} kLeftovers[] = {
    {"la_audit_digests", "node, boot, seq", "received_at < ?"},
    {"la_flow_sources", "node, boot",
     "last_seen < ? AND EXISTS (SELECT 1 FROM la_flow_sources AS newer WHERE newer.node = t.node "
     "AND (newer.last_seen, newer.boot) > (t.last_seen, t.boot))"},
    {"la_flow_gaps", "node, boot, first_seq",
     "found < ? AND NOT EXISTS (SELECT 1 FROM la_flow_sources AS s WHERE s.node = t.node AND s.boot = t.boot)"},
    {"la_audit_heads", "node, boot",
     "ts < ? AND NOT EXISTS (SELECT 1 FROM la_flow_sources AS s WHERE s.node = t.node AND s.boot = t.boot)"},
};

// Rows that another replica deletes at this moment are left to it.
std::string DeleteSome(sql::Engine engine, absl::string_view table, absl::string_view key,
                       absl::string_view condition) {
  return absl::StrCat("DELETE FROM ", table, " WHERE (", key, ") IN (SELECT ", key, " FROM ", table, " AS t WHERE ",
                      condition, " LIMIT ?", SkipLocked(engine), ")");
}

// Calls `step`, which says how many rows it deleted, until those are none; false when the time was over first.
template <typename Step>
absl::StatusOr<bool> Repeat(absl::Time deadline, uint64_t& counter, Step step) {
  while (absl::Now() < deadline) {
    const absl::StatusOr<int64_t> deleted = step();
    if (absl::IsDeadlineExceeded(deleted.status())) return false;
    if (!deleted.ok()) return deleted.status();
    if (*deleted == 0) return true;
    counter += static_cast<uint64_t>(*deleted);
  }
  return false;
}

}  // namespace

absl::StatusOr<int64_t> SqlFlowStore::DeleteEvents(int64_t before_ns, const Archive& archive, absl::Time deadline) {
  SqliteWriterLock lock(database_.engine(), writer_);
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(sql::Transaction transaction,
                           sql::Transaction::Begin(*connection, sql::Access::kWrite, deadline));
  // Also by when it came in: a node whose clock is wrong must not have its records deleted at once.
  // Another replica that does the same at the same time takes other rows.
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> rows,
      connection->Query(absl::StrCat("SELECT ", archive ? EventColumns() : "id",
                                     " FROM la_flow_events WHERE ts < ? AND created_at < ? ORDER BY ts, id LIMIT ?",
                                     SkipLocked(database_.engine())),
                        {before_ns, before_ns, kRowsAtOnce}, deadline));
  if (rows.empty()) return 0;
  std::vector<std::string> ids;
  ids.reserve(rows.size());
  for (const sql::Row& row : rows) ids.push_back(row[0].text());
  const std::vector<sql::Param> params(ids.begin(), ids.end());
  LATTICE_RETURN_IF_ERROR(
      connection->ExecuteMany("DELETE FROM la_flow_events WHERE id = ?", params, 1, deadline).status());
  if (archive) {
    std::vector<FlowEvent> events;
    events.reserve(rows.size());
    for (sql::Row& row : rows) events.push_back(ReadEvent(row));
    LATTICE_RETURN_IF_ERROR(Annotate(archive(events), "archiving"));
  }
  LATTICE_RETURN_IF_ERROR(transaction.Commit());
  return static_cast<int64_t>(rows.size());
}

// Runs `statement`, whose parameters are a limit of time and one of rows, until it deletes no more; false when the time
// was over first.
absl::StatusOr<bool> SqlFlowStore::DeleteAll(const std::string& statement, int64_t before_ns, uint64_t& counter,
                                             absl::Time deadline) {
  return Repeat(deadline, counter, [&]() -> absl::StatusOr<int64_t> {
    SqliteWriterLock lock(database_.engine(), writer_);
    LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
    return connection->Execute(statement, {before_ns, kRowsAtOnce}, deadline);
  });
}

absl::StatusOr<RetentionReport> SqlFlowStore::DeleteBefore(int64_t before_ns, const Archive& archive,
                                                           absl::Time deadline) {
  RetentionReport report;
  LATTICE_ASSIGN_OR_RETURN(bool done,
                           Repeat(deadline, report.events, [&] { return DeleteEvents(before_ns, archive, deadline); }));
  report.more |= !done;
  for (const auto& [table, key] : RollupKeys()) {
    // A bucket that reaches beyond stays. Of totals the minutes stay as long as their hour: Top() takes them off it.
    const int64_t limit_ns = table == "la_flow_totals_" ? BucketOf(before_ns, kHourNs) : before_ns;
    for (const auto& [suffix, width_ns] : {std::pair("1m", kMinuteNs), std::pair("1h", kHourNs)}) {
      const std::string statement = DeleteSome(database_.engine(), absl::StrCat(table, suffix), key, "bucket <= ?");
      LATTICE_ASSIGN_OR_RETURN(done, DeleteAll(statement, limit_ns - width_ns, report.rollups, deadline));
      report.more |= !done;
    }
  }
  LATTICE_ASSIGN_OR_RETURN(
      done, DeleteAll(DeleteSome(database_.engine(), "la_flow_rejects", "stream_seq, stream_time", "received_at < ?"),
                      before_ns, report.rejects, deadline));
  report.more |= !done;
  uint64_t others = 0;
  for (const auto& [table, key, condition] : kLeftovers) {
    LATTICE_ASSIGN_OR_RETURN(
        done, DeleteAll(DeleteSome(database_.engine(), table, key, condition), before_ns, others, deadline));
    report.more |= !done;
  }
  return report;
}

}  // namespace lattice::control
