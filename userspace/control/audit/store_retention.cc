// DeleteBefore(): what is old goes in transactions of some thousand rows, so that writers never wait long.
#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_rollup.h"
#include "userspace/control/audit/store_rows.h"

namespace lattice::control {
namespace {

constexpr int64_t kRowsAtOnce = 2'000;

}  // namespace

absl::StatusOr<int64_t> SqlFlowStore::DeleteEvents(int64_t before_ns, const Archive& archive, absl::Time deadline) {
  SqliteWriterLock lock(database_.engine(), writer_);
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(sql::Transaction transaction,
                           sql::Transaction::Begin(*connection, sql::Access::kWrite, deadline));
  // Another replica that does the same at the same time takes other rows.
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows,
                           connection->Query(absl::StrCat("SELECT ", archive ? EventColumns() : "id",
                                                          " FROM la_flow_events WHERE ts < ? ORDER BY ts, id LIMIT ?",
                                                          SkipLocked(database_.engine())),
                                             {before_ns, kRowsAtOnce}, deadline));
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

absl::StatusOr<int64_t> SqlFlowStore::DeleteRows(const std::string& statement, std::vector<sql::Param> params,
                                                 absl::Time deadline) {
  SqliteWriterLock lock(database_.engine(), writer_);
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  params.emplace_back(kRowsAtOnce);
  return connection->Execute(statement, params, deadline);
}

absl::StatusOr<RetentionReport> SqlFlowStore::DeleteBefore(int64_t before_ns, const Archive& archive,
                                                           absl::Time deadline) {
  RetentionReport report;
  // Calls `step` until it deletes no more; false when the time was over first.
  const auto repeat = [&](uint64_t& counter, auto step) -> absl::StatusOr<bool> {
    while (absl::Now() < deadline) {
      const absl::StatusOr<int64_t> deleted = step();
      if (absl::IsDeadlineExceeded(deleted.status())) return false;
      if (!deleted.ok()) return deleted.status();
      if (*deleted == 0) return true;
      counter += static_cast<uint64_t>(*deleted);
    }
    return false;
  };
  LATTICE_ASSIGN_OR_RETURN(bool done,
                           repeat(report.events, [&] { return DeleteEvents(before_ns, archive, deadline); }));
  report.more |= !done;

  const absl::string_view skip = SkipLocked(database_.engine());
  const std::pair<const char*, int64_t> tables[] = {{"la_flow_rollup_1m", kMinuteNs},
                                                    {"la_flow_rollup_1h", kHourNs},
                                                    {"la_flow_agents_1m", kMinuteNs},
                                                    {"la_flow_agents_1h", kHourNs}};
  for (const auto& [table, width] : tables) {
    const absl::string_view key = absl::StartsWith(table, "la_flow_agents")
                                      ? "bucket, agent_id, verdict"
                                      : "bucket, agent_id, dst_ip, dst_port, protocol, verdict, rule";
    // A bucket that reaches beyond stays.
    const std::string statement = absl::StrCat("DELETE FROM ", table, " WHERE (", key, ") IN (SELECT ", key, " FROM ",
                                               table, " WHERE bucket <= ? LIMIT ?", skip, ")");
    const int64_t last = before_ns - width;
    LATTICE_ASSIGN_OR_RETURN(done, repeat(report.rollups, [&] { return DeleteRows(statement, {last}, deadline); }));
    report.more |= !done;
  }
  const std::string rejects = absl::StrCat(
      "DELETE FROM la_flow_rejects WHERE (stream_seq, stream_time) IN (SELECT stream_seq, stream_time FROM "
      "la_flow_rejects WHERE received_at < ? LIMIT ?",
      skip, ")");
  LATTICE_ASSIGN_OR_RETURN(done, repeat(report.rejects, [&] { return DeleteRows(rejects, {before_ns}, deadline); }));
  report.more |= !done;
  return report;
}

}  // namespace lattice::control
