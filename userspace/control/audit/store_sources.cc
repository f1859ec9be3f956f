#include "userspace/control/audit/store_sources.h"

#include <algorithm>

#include "userspace/base/status.h"
#include "userspace/control/audit/store_gaps.h"

namespace lattice::control {
namespace {

// Calls run(first, last) for each run of consecutive numbers.
template <typename Run>
void ForEachRun(std::vector<int64_t> seqs, Run run) {
  std::sort(seqs.begin(), seqs.end());
  for (size_t begin = 0; begin < seqs.size();) {
    size_t end = begin + 1;
    while (end < seqs.size() && seqs[end] - seqs[end - 1] <= 1) ++end;
    run(seqs[begin], seqs[end - 1]);
    begin = end;
  }
}

absl::StatusOr<Holes> ReadHoles(sql::Connection& connection, const std::string& node, const std::string& boot,
                                int64_t first, int64_t last, absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> rows,
                           connection.Query("SELECT first_seq, last_seq, found, explained_by FROM la_flow_gaps "
                                            "WHERE node = ? AND boot = ? AND last_seq >= ? AND first_seq <= ?",
                                            {node, boot, first, last}, deadline));
  Holes holes;
  for (sql::Row& row : rows) {
    holes[row[0].integer()] = {
        .last = row[1].integer(), .found_ns = row[2].integer(), .explained_by = row[3].TakeText()};
  }
  return holes;
}

absl::Status WriteHoles(sql::Connection& connection, const std::string& node, const std::string& boot,
                        const SourceNumbers& numbers, absl::Time deadline) {
  std::vector<sql::Param> params;
  const std::vector<int64_t> removed = numbers.Removed();
  for (const int64_t first : removed) params.insert(params.end(), {node, boot, first});
  if (!params.empty()) {
    LATTICE_RETURN_IF_ERROR(
        connection
            .ExecuteMany("DELETE FROM la_flow_gaps WHERE node = ? AND boot = ? AND first_seq = ?", params, 3, deadline)
            .status());
  }
  params.clear();
  const Holes added = numbers.Added();
  for (const auto& [first, hole] : added) {
    params.insert(params.end(), {node, boot, first, hole.last, hole.found_ns, hole.explained_by});
  }
  if (params.empty()) return absl::OkStatus();
  return connection
      .ExecuteMany(
          "INSERT INTO la_flow_gaps (node, boot, first_seq, last_seq, found, explained_by) "
          "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (node, boot, first_seq) DO UPDATE SET "
          "last_seq = excluded.last_seq, found = excluded.found, explained_by = excluded.explained_by",
          params, 6, deadline)
      .status();
}

// The stored numbers of a boot, or those of one that is new.
absl::StatusOr<SourceNumbers> ReadNumbers(sql::Connection& connection, const std::string& node, const std::string& boot,
                                          absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection.Query("SELECT first_seq, last_seq, missing, lost FROM la_flow_sources "
                                            "WHERE node = ? AND boot = ?",
                                            {node, boot}, deadline));
  // A row without numbers says only whose the boot is.
  if (rows.empty() || (rows[0][1].integer() == 0 && rows[0][3].integer() == 0)) {
    LATTICE_ASSIGN_OR_RETURN(
        const std::vector<sql::Row> others,
        connection.Query("SELECT 1 FROM la_flow_sources WHERE node = ? AND last_seq > 0 LIMIT 1", {node}, deadline));
    return SourceNumbers(/*node_is_known=*/!others.empty());
  }
  return SourceNumbers(rows[0][0].integer(), rows[0][1].integer(), static_cast<uint64_t>(rows[0][2].integer()),
                       static_cast<uint64_t>(rows[0][3].integer()));
}

}  // namespace

SourceChanges::Change& SourceChanges::Of(const std::string& node, const std::string& boot) {
  if (last_ == nullptr || last_->first.first != node || last_->first.second != boot) {
    last_ = &*changes_.try_emplace({node, boot}).first;
  }
  return last_->second;
}

void SourceChanges::Add(const FlowEvent& event) {
  if (event.node.empty()) return;  // of an older agent: it has no numbers
  Change& change = Of(event.node, event.boot);
  ++change.stored;
  if (!event.agent_id.empty() && change.agent_id != event.agent_id) change.agent_id = event.agent_id;
  change.last_ts_ns = std::max(change.last_ts_ns, event.ts_ns);
  if (event.seq > 0 && event.seq <= kMaxSeq) change.seqs.push_back(event.seq);
  if (event.event != "loss") return;
  Change& lost = Of(event.node, event.lost_boot.empty() ? event.boot : event.lost_boot);
  if (lost.agent_id.empty()) lost.agent_id = event.agent_id;
  lost.losses.push_back({event.lost_first_seq, event.lost_last_seq, event.lost_count, event.event_id});
}

absl::Status SourceChanges::WriteOne(sql::Connection& connection, const Key& key, const Change& change, int64_t now_ns,
                                     absl::Time deadline) {
  const auto& [node, boot] = key;
  LATTICE_ASSIGN_OR_RETURN(SourceNumbers numbers, ReadNumbers(connection, node, boot, deadline));
  int64_t lowest = kMaxSeq, highest = 0;
  for (const int64_t seq : change.seqs) {
    lowest = std::min(lowest, seq);
    highest = std::max(highest, seq);
  }
  for (const Loss& loss : change.losses) {
    if (loss.first <= 0) continue;
    lowest = std::min(lowest, loss.first);
    highest = std::max(highest, loss.last);
  }
  // What comes in order, which is nearly everything, meets no hole.
  if (!numbers.empty() && lowest <= numbers.last()) {
    LATTICE_ASSIGN_OR_RETURN(Holes holes, ReadHoles(connection, node, boot, lowest, highest, deadline));
    numbers.Load(std::move(holes));
  }
  ForEachRun(change.seqs, [&](int64_t first, int64_t last) { numbers.Arrive(first, last, now_ns); });
  for (const Loss& loss : change.losses) numbers.Lose(loss.first, loss.last, loss.count, loss.event_id, now_ns);
  LATTICE_RETURN_IF_ERROR(WriteHoles(connection, node, boot, numbers, deadline));
  // A boot that is only named by a loss event was not seen now.
  const bool seen = change.stored > 0;
  return connection
      .Execute(
          "INSERT INTO la_flow_sources "
          "(node, boot, agent_id, first_seq, last_seq, last_ts, last_seen, stored, missing, lost) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (node, boot) DO UPDATE SET "
          "agent_id = CASE WHEN excluded.agent_id <> '' THEN excluded.agent_id ELSE la_flow_sources.agent_id END, "
          "first_seq = excluded.first_seq, last_seq = excluded.last_seq, "
          "last_ts = CASE WHEN excluded.last_ts > la_flow_sources.last_ts THEN excluded.last_ts "
          "ELSE la_flow_sources.last_ts END, "
          "last_seen = CASE WHEN excluded.last_seen > la_flow_sources.last_seen THEN excluded.last_seen "
          "ELSE la_flow_sources.last_seen END, "
          "stored = la_flow_sources.stored + excluded.stored, missing = excluded.missing, lost = excluded.lost",
          {node, boot, change.agent_id, numbers.first(), numbers.last(), seen ? change.last_ts_ns : 0,
           seen ? now_ns : 0, change.stored, numbers.missing(), numbers.lost()},
          deadline)
      .status();
}

absl::Status SourceChanges::Write(sql::Connection& connection, int64_t now_ns, absl::Time deadline) const {
  // Boots of a node in the order of their time: the first one of a new node is the one whose past is not asked for.
  std::vector<const std::pair<const Key, Change>*> ordered;
  for (const auto& entry : changes_) ordered.push_back(&entry);
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto* a, const auto* b) { return a->second.last_ts_ns < b->second.last_ts_ns; });
  for (const auto* entry : ordered) {
    LATTICE_RETURN_IF_ERROR(WriteOne(connection, entry->first, entry->second, now_ns, deadline));
  }
  return absl::OkStatus();
}

}  // namespace lattice::control
