// Theory of operation
//
// Append() is one transaction. What is new is what the INSERT of la_flow_events really inserted (event_id is unique);
// only that goes on to roll-ups, sources and gaps.
//
// In PostgreSQL several replicas append at once. Each first takes an advisory lock per node of its batch, in the
// order of the locks' keys, until its commit: numbers, gaps and flow totals of a node are changed by one transaction at
// a time and read as the last one left them. The rows of roll-ups are shared between nodes and are changed in the order
// of their keys. So every transaction takes its locks in one global order and none waits in a circle. Should the server
// abort one after all (Aborted), it is done again.
#include <algorithm>
#include <deque>
#include <numeric>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/event_json.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_owners.h"
#include "userspace/control/audit/store_rollup.h"
#include "userspace/control/audit/store_rows.h"
#include "userspace/control/audit/store_sources.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

constexpr int kTries = 5;
constexpr size_t kMaxPayloadBytes = 64 << 10;

using Events = absl::Span<const FlowEvent* const>;

// A batch on its way into the tables, its texts as the tables hold them.
struct Work {
  std::vector<const FlowEvent*> events;
  std::vector<std::string> dst_keys;  // of the events
  std::vector<StreamPlace> places;    // of the events
  std::vector<size_t> indexes;        // of the events, in the batch
  std::vector<AuditHead> heads;
  std::vector<Reject> rejects;
};

absl::Status LockNodes(sql::Connection& connection, const Work& work, absl::Time deadline) {
  if (connection.engine() == sql::Engine::kSqlite) return absl::OkStatus();  // BEGIN IMMEDIATE locks everything
  absl::flat_hash_set<absl::string_view> nodes;
  for (const FlowEvent* event : work.events) nodes.insert(event->node);
  std::set<int64_t> keys;
  for (absl::string_view node : nodes) keys.insert(LockKey(absl::StrCat("lattice/node/", node)));
  for (const AuditHead& head : work.heads) keys.insert(LockKey(absl::StrCat("lattice/node/", head.node)));
  if (!work.rejects.empty()) keys.insert(LockKey("lattice/rejects"));
  if (keys.empty()) return absl::OkStatus();
  const std::vector<sql::Param> params(keys.begin(), keys.end());
  return connection.ExecuteMany("SELECT pg_advisory_xact_lock(?)", params, 1, deadline).status();
}

// Adds to `fresh` which of the kInsertRows rows from `begin` on are there: ids are given once.
absl::Status AddInserted(sql::Connection& connection, const std::vector<std::string>& ids, size_t begin,
                         std::vector<size_t>& fresh, absl::Time deadline) {
  static const auto* const statement =
      new std::string(absl::StrCat("SELECT id FROM la_flow_events WHERE id IN (",
                                   absl::StrJoin(std::vector<std::string>(kInsertRows, "?"), ", "), ")"));
  const auto first = ids.begin() + static_cast<ptrdiff_t>(begin);
  const std::vector<sql::Param> params(first, first + kInsertRows);
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows, connection.Query(*statement, params, deadline));
  absl::flat_hash_set<absl::string_view> inserted;
  for (const sql::Row& row : rows) inserted.insert(row[0].text());
  for (size_t i = begin; i < begin + kInsertRows; ++i) {
    if (inserted.contains(ids[i])) fresh.push_back(i);
  }
  return absl::OkStatus();
}

// Inserts the events from `begin` to `end`, and adds to `fresh` which of them were new.
absl::Status InsertSome(sql::Connection& connection, Events events, const std::vector<std::string>& ids,
                        const std::vector<std::string>& dst_keys, size_t begin, size_t end, int64_t now_ns,
                        std::vector<size_t>& fresh, absl::Time deadline) {
  std::vector<std::string> src_keys;
  src_keys.reserve(end - begin);
  std::vector<sql::Param> params;
  params.reserve((end - begin) * kInsertWidth);
  for (size_t i = begin; i < end; ++i) {
    src_keys.push_back(AddressKey(events[i]->src_ip));
    AppendParams(*events[i], ids[i], now_ns, dst_keys[i], src_keys.back(), params);
  }
  // In PostgreSQL a statement costs more than a row. In SQLite one of many rows is no faster.
  const size_t in_groups =
      connection.engine() == sql::Engine::kPostgresql ? (end - begin) / kInsertRows * kInsertRows : 0;
  const absl::Span<const sql::Param> all(params);
  LATTICE_ASSIGN_OR_RETURN(const std::vector<int64_t> groups,
                           connection.ExecuteMany(InsertManyEvents(), all.first(in_groups * kInsertWidth),
                                                  kInsertWidth * kInsertRows, deadline));
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> single,
      connection.ExecuteMany(InsertEvent(), all.subspan(in_groups * kInsertWidth), kInsertWidth, deadline));
  for (size_t group = 0; group < groups.size(); ++group) {
    const size_t first = begin + group * kInsertRows;
    if (groups[group] == static_cast<int64_t>(kInsertRows)) {
      for (size_t i = first; i < first + kInsertRows; ++i) fresh.push_back(i);
      continue;
    }
    LATTICE_RETURN_IF_ERROR(AddInserted(connection, ids, first, fresh, deadline));
  }
  for (size_t i = 0; i < single.size(); ++i) {
    if (single[i] > 0) fresh.push_back(begin + in_groups + i);
  }
  return absl::OkStatus();
}

// Which of `events` were new.
absl::StatusOr<std::vector<size_t>> InsertEvents(sql::Connection& connection, Events events,
                                                 const std::vector<std::string>& dst_keys, int64_t now_ns,
                                                 absl::Time deadline) {
  constexpr size_t kAtOnce = 25 * kInsertRows;  // their parameters fit a processor's cache
  const std::vector<std::string> ids = NewRowIds(events.size());
  std::vector<size_t> fresh;
  fresh.reserve(events.size());
  for (size_t begin = 0; begin < events.size(); begin += kAtOnce) {
    LATTICE_RETURN_IF_ERROR(InsertSome(connection, events, ids, dst_keys, begin,
                                       std::min(begin + kAtOnce, events.size()), now_ns, fresh, deadline));
  }
  return fresh;
}

Reject RejectOf(const FlowEvent& event, const StreamPlace& place, absl::string_view reason, std::string detail) {
  Reject reject{.reason = std::string(reason),
                .detail = std::move(detail),
                .subject = "lattice.audit.flow",
                .stream_seq = place.seq,
                .stream_time_ns = place.time_ns};
  AppendEventJson(event, reject.payload);
  return reject;
}

Reject RejectOf(const AuditHead& head, absl::string_view reason, std::string detail) {
  return {.reason = std::string(reason),
          .detail = absl::StrCat(std::move(detail), "; seq ", head.seq, ", h ", head.h),
          .subject = "lattice.audit.head",
          .payload = head.digest,
          .stream_seq = head.place.seq,
          .stream_time_ns = head.place.time_ns};
}

// Moves what names a source of another agent to the rejects.
absl::Status RefuseOthers(sql::Connection& connection, Work& work, int64_t now_ns, absl::Time deadline) {
  constexpr absl::string_view kReason = "source_of_another_agent";
  SourceOwners owners(connection, now_ns, deadline);
  size_t kept = 0;
  for (size_t i = 0; i < work.events.size(); ++i) {
    const absl::Status admitted = owners.Admit(*work.events[i]);
    if (absl::IsPermissionDenied(admitted)) {
      work.rejects.push_back(RejectOf(*work.events[i], work.places[i], kReason, std::string(admitted.message())));
      continue;
    }
    LATTICE_RETURN_IF_ERROR(admitted);
    if (kept != i) {
      work.events[kept] = work.events[i];
      work.dst_keys[kept] = std::move(work.dst_keys[i]);
      work.places[kept] = work.places[i];
      work.indexes[kept] = work.indexes[i];
    }
    ++kept;
  }
  work.events.resize(kept);
  work.dst_keys.resize(kept);
  work.places.resize(kept);
  work.indexes.resize(kept);
  std::vector<AuditHead> heads;
  for (AuditHead& head : work.heads) {
    const absl::Status admitted = owners.Admit(head);
    if (absl::IsPermissionDenied(admitted)) {
      work.rejects.push_back(RejectOf(head, kReason, std::string(admitted.message())));
      continue;
    }
    LATTICE_RETURN_IF_ERROR(admitted);
    heads.push_back(std::move(head));
  }
  work.heads = std::move(heads);
  return absl::OkStatus();
}

// Of the events that are not new, those whose eventId is of another agent's record. Of two that claim the same number
// the first is in the table; the other must not vanish as a duplicate.
absl::StatusOr<std::vector<Reject>> FindConflicts(sql::Connection& connection, const Work& work,
                                                  const std::vector<size_t>& fresh, absl::Time deadline) {
  const Events events = work.events;
  std::vector<Reject> conflicts;
  if (fresh.size() == events.size()) return conflicts;
  std::vector<bool> is_fresh(events.size());
  for (const size_t index : fresh) is_fresh[index] = true;
  for (size_t i = 0; i < events.size(); ++i) {
    if (is_fresh[i]) continue;
    const FlowEvent& event = *events[i];
    LATTICE_ASSIGN_OR_RETURN(
        const std::vector<sql::Row> rows,
        connection.Query("SELECT agent_id FROM la_flow_events WHERE event_id = ?", {event.event_id}, deadline));
    if (rows.empty() || rows[0][0].text() == event.agent_id) continue;
    conflicts.push_back(RejectOf(event, work.places[i], "event_id_conflict",
                                 absl::StrCat(event.event_id, " is a record of the agent \"", rows[0][0].text(),
                                              "\" already; this one names \"", event.agent_id, "\"")));
  }
  return conflicts;
}

// How many were new.
absl::StatusOr<uint64_t> InsertRejects(sql::Connection& connection, const std::vector<Reject>& rejects,
                                       size_t max_rejects, int64_t now_ns, absl::Time deadline) {
  if (rejects.empty()) return 0;
  struct Text {
    std::string reason, detail, subject, payload;
  };
  std::vector<Text> texts;
  texts.reserve(rejects.size());
  std::vector<sql::Param> params;
  for (const Reject& reject : rejects) {
    // Raw bytes: the table holds text, so base64.
    Text& text =
        texts.emplace_back(Text{reject.reason, reject.detail, reject.subject,
                                absl::Base64Escape(absl::string_view(reject.payload).substr(0, kMaxPayloadBytes))});
    CleanText(text.reason, 64);
    CleanText(text.detail, 1024);
    CleanText(text.subject, 256);
    params.insert(params.end(), {static_cast<int64_t>(reject.stream_seq), reject.stream_time_ns, now_ns, text.reason,
                                 text.detail, text.subject, text.payload});
  }
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<int64_t> inserted,
      connection.ExecuteMany("INSERT INTO la_flow_rejects (stream_seq, stream_time, received_at, reason, detail, "
                             "subject, payload) VALUES (?, ?, ?, ?, ?, ?, ?) "
                             "ON CONFLICT (stream_seq, stream_time) DO NOTHING",
                             params, 7, deadline));
  LATTICE_RETURN_IF_ERROR(connection
                              .Execute("DELETE FROM la_flow_rejects WHERE (received_at, stream_seq) <= "
                                       "(SELECT received_at, stream_seq FROM la_flow_rejects "
                                       "ORDER BY received_at DESC, stream_seq DESC LIMIT 1 OFFSET ?)",
                                       {max_rejects}, deadline)
                              .status());
  return std::count_if(inserted.begin(), inserted.end(), [](int64_t rows) { return rows > 0; });
}

void CleanHead(AuditHead& head) {
  CleanText(head.node, 256);
  CleanText(head.boot, 128);
  CleanText(head.agent_id, 256);
  CleanText(head.h, 256);
  CleanText(head.digest, 16 << 10);
  CleanText(head.signature, 1024);
  CleanText(head.public_key, 1024);
}

// The first word about a number counts: a second one with another hash must not cover it up.
absl::Status InsertHeads(sql::Connection& connection, const std::vector<AuditHead>& heads, int64_t now_ns,
                         absl::Time deadline) {
  std::vector<sql::Param> live, closed;
  for (const AuditHead& head : heads) {
    if (head.digest.empty()) {
      live.insert(live.end(), {head.node, head.boot, head.agent_id, head.seq, head.h, head.ts_ns});
    } else {
      closed.insert(closed.end(), {head.node, head.boot, head.agent_id, head.seq, head.h, head.ts_ns, head.digest,
                                   head.signature, head.public_key, head.signature_valid, now_ns});
    }
  }
  if (!live.empty()) {
    LATTICE_RETURN_IF_ERROR(
        connection
            .ExecuteMany("INSERT INTO la_audit_heads (node, boot, agent_id, seq, h, ts) VALUES (?, ?, ?, ?, ?, ?) "
                         "ON CONFLICT (node, boot) DO UPDATE SET agent_id = excluded.agent_id, seq = excluded.seq, "
                         "h = excluded.h, ts = excluded.ts WHERE excluded.seq > la_audit_heads.seq",
                         live, 6, deadline)
            .status());
  }
  if (closed.empty()) return absl::OkStatus();
  return connection
      .ExecuteMany(
          "INSERT INTO la_audit_digests (node, boot, agent_id, seq, h, ts, digest, signature, public_key, "
          "signature_valid, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT (node, boot, seq) DO NOTHING",
          closed, 11, deadline)
      .status();
}

}  // namespace

absl::StatusOr<IngestResult> SqlFlowStore::AppendOnce(const IngestBatch& batch, Events events, absl::Time deadline) {
  const int64_t now_ns = NowNs();
  Work work{.events = {events.begin(), events.end()},
            .places = batch.places,
            .indexes = std::vector<size_t>(events.size()),
            .heads = batch.heads,
            .rejects = batch.rejects};
  work.dst_keys.reserve(events.size());
  for (const FlowEvent* event : events) work.dst_keys.push_back(AddressKey(event->dst_ip));
  std::iota(work.indexes.begin(), work.indexes.end(), size_t{0});
  if (work.places.empty()) {
    for (const FlowEvent* event : events) work.places.push_back({.time_ns = event->ts_ns});
  }
  for (AuditHead& head : work.heads) CleanHead(head);

  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(sql::Transaction transaction,
                           sql::Transaction::Begin(*connection, sql::Access::kWrite, deadline));
  LATTICE_RETURN_IF_ERROR(LockNodes(*connection, work, deadline));
  if (batch.agents_verified) LATTICE_RETURN_IF_ERROR(RefuseOthers(*connection, work, now_ns, deadline));
  Rollup rollup;
  LATTICE_RETURN_IF_ERROR(rollup.ReadTotals(*connection, work.events, deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<size_t> fresh,
                           InsertEvents(*connection, work.events, work.dst_keys, now_ns, deadline));
  IngestResult result;
  SourceChanges sources;
  for (const size_t index : fresh) {
    rollup.Add(*work.events[index], work.dst_keys[index]);
    sources.Add(*work.events[index]);
    result.fresh.push_back(work.indexes[index]);
  }
  LATTICE_RETURN_IF_ERROR(sources.Write(*connection, now_ns, deadline));
  LATTICE_RETURN_IF_ERROR(rollup.Write(*connection, deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<Reject> conflicts, FindConflicts(*connection, work, fresh, deadline));
  std::vector<Reject> rejects = conflicts;
  rejects.insert(rejects.end(), work.rejects.begin(), work.rejects.end());
  LATTICE_ASSIGN_OR_RETURN(result.rejected,
                           InsertRejects(*connection, rejects, options_.max_rejects, now_ns, deadline));
  LATTICE_RETURN_IF_ERROR(InsertHeads(*connection, work.heads, now_ns, deadline));
  LATTICE_RETURN_IF_ERROR(transaction.Commit());
  result.stored = fresh.size();
  result.heads = work.heads.size();
  result.duplicates = work.events.size() - result.stored - conflicts.size() + rejects.size() - result.rejected;
  return result;
}

absl::StatusOr<IngestResult> SqlFlowStore::Append(const IngestBatch& batch) {
  const absl::Time deadline = absl::Now() + options_.write_timeout;
  std::vector<const FlowEvent*> events;
  events.reserve(batch.events.size());
  std::deque<FlowEvent> changed;
  if (!batch.places.empty() && batch.places.size() != batch.events.size()) {
    return absl::InvalidArgumentError("as many places as events, or none");
  }
  for (const FlowEvent& event : batch.events) {
    if (event.event_id.empty()) return absl::InvalidArgumentError("an event without an eventId");
    events.push_back(IsStorable(event) ? &event : &changed.emplace_back(Storable(event)));
  }
  SqliteWriterLock lock(database_.engine(), writer_);
  absl::StatusOr<IngestResult> result = AppendOnce(batch, events, deadline);
  for (int again = 1; again < kTries && absl::IsAborted(result.status()); ++again) {
    result = AppendOnce(batch, events, deadline);
  }
  // For the caller there is one thing to do about all of these: try again later.
  if (absl::IsDeadlineExceeded(result.status()) || absl::IsAborted(result.status())) {
    return absl::UnavailableError(result.status().message());
  }
  return result;
}

}  // namespace lattice::control
