// Query() and ByEventId(): pages by (ts, id) behind a key, never by an offset.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_filter.h"
#include "userspace/control/audit/store_plan.h"
#include "userspace/control/audit/store_rows.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxLimit = 1'000;

// The rows of one walk, in order, `limit` at most.
absl::StatusOr<Fragment> WalkStatement(sql::Engine engine, const FlowQuery& query, const Walk& walk,
                                       absl::string_view order, int64_t limit) {
  Conditions conditions;
  if (!walk.condition.text.empty()) conditions.Add(walk.condition);
  LATTICE_RETURN_IF_ERROR(AddTerms(query.filter, conditions));
  if (query.filter.from_ns) conditions.Add("ts >= ?", {*query.filter.from_ns});
  if (query.filter.to_ns) conditions.Add("ts < ?", {*query.filter.to_ns});
  if (query.after) {
    conditions.Add(query.ascending ? "(ts, id) > (?, ?)" : "(ts, id) < (?, ?)", {query.after->ts_ns, query.after->id});
  }
  const bool by_time = walk.index.empty();
  Fragment statement;
  statement.Append(absl::StrCat("SELECT ", EventColumns(), " FROM ",
                                FromIndex(engine, "la_flow_events", by_time ? "la_flow_events_ts" : walk.index)));
  statement.Append(conditions.Where());
  statement.Append(absl::StrCat(order, " LIMIT ?"));
  statement.values.push_back(limit);
  return statement;
}

}  // namespace

absl::StatusOr<FlowPage> SqlFlowStore::Query(const FlowQuery& query, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Walk> walks, PlanWalks(*connection, query.filter, deadline));
  const size_t limit = std::clamp<size_t>(query.limit, 1, kMaxLimit);
  const absl::string_view order = query.ascending ? " ORDER BY ts, id" : " ORDER BY ts DESC, id DESC";
  Fragment statement;
  for (const Walk& walk : walks) {
    // One more than asked for: whether there is a next page.
    LATTICE_ASSIGN_OR_RETURN(const Fragment one,
                             WalkStatement(database_.engine(), query, walk, order, static_cast<int64_t>(limit) + 1));
    if (walks.size() == 1) {
      statement = one;
      break;
    }
    statement.Append(statement.text.empty() ? "SELECT * FROM (" : " UNION ALL SELECT * FROM (");
    statement.Append(one);
    statement.Append(") AS walk");
  }
  if (walks.size() > 1) {
    statement.Append(absl::StrCat(order, " LIMIT ?"));
    statement.values.push_back(static_cast<int64_t>(limit) + 1);
  }
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows,
                           connection->Query(statement.text, ToParams(statement.values), deadline));
  FlowPage page;
  const bool more = rows.size() > limit;
  if (more) rows.resize(limit);
  page.events.reserve(rows.size());
  for (sql::Row& row : rows) page.events.push_back(ReadEvent(row));
  if (more) page.next = PageKey{.ts_ns = page.events.back().ts_ns, .id = page.events.back().id};
  return page;
}

absl::StatusOr<std::vector<FlowEvent>> SqlFlowStore::Arrived(const FlowFilter& filter, const std::string& after_id,
                                                             const std::string& before_id, size_t limit,
                                                             absl::Time deadline) {
  Conditions conditions;
  conditions.Add("id > ? AND id < ?", {after_id, before_id});
  LATTICE_RETURN_IF_ERROR(AddTerms(filter, conditions));
  if (filter.from_ns) conditions.Add("ts >= ?", {*filter.from_ns});
  if (filter.to_ns) conditions.Add("ts < ?", {*filter.to_ns});
  Fragment where = conditions.Where();
  where.values.push_back(static_cast<int64_t>(std::clamp<size_t>(limit, 1, kMaxLimit)));
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  // The recent ids are few, whatever else the filter asks for: SQLite would guess another index.
  const absl::string_view table = database_.engine() == sql::Engine::kSqlite
                                      ? " FROM la_flow_events INDEXED BY sqlite_autoindex_la_flow_events_1"
                                      : " FROM la_flow_events";
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> rows,
      connection->Query(absl::StrCat("SELECT ", EventColumns(), table, where.text, " ORDER BY id LIMIT ?"),
                        ToParams(where.values), deadline));
  std::vector<FlowEvent> events;
  events.reserve(rows.size());
  for (sql::Row& row : rows) events.push_back(ReadEvent(row));
  return events;
}

absl::StatusOr<std::optional<FlowEvent>> SqlFlowStore::ByEventId(const std::string& event_id, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  FlowEvent wanted;
  wanted.event_id = event_id;
  wanted = Storable(wanted);  // as Append() wrote it
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> rows,
      connection->Query(absl::StrCat("SELECT ", EventColumns(), " FROM la_flow_events WHERE event_id = ?"),
                        {wanted.event_id}, deadline));
  if (rows.empty()) return std::optional<FlowEvent>();
  return std::optional<FlowEvent>(ReadEvent(rows[0]));
}

}  // namespace lattice::control
