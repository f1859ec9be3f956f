#include "userspace/control/audit/store_rollup.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

// No row goes above 2^60, so that adding a batch never leaves 64 bits.
constexpr char kUpsert[] =
    "INSERT INTO @table (@key, @payload) VALUES (@marks) ON CONFLICT (@key) DO UPDATE SET "
    "flows = @table.flows + excluded.flows, "
    "bytes = CASE WHEN @table.bytes + excluded.bytes > 1152921504606846976 THEN 1152921504606846976 "
    "ELSE @table.bytes + excluded.bytes END, "
    "packets = CASE WHEN @table.packets + excluded.packets > 1152921504606846976 THEN 1152921504606846976 "
    "ELSE @table.packets + excluded.packets END, @newest"
    "last_ts = CASE WHEN excluded.last_ts > @table.last_ts THEN excluded.last_ts ELSE @table.last_ts END";
constexpr char kNewest[] =
    "host = CASE WHEN excluded.host <> '' AND (excluded.last_ts >= @table.last_ts OR @table.host = '') "
    "THEN excluded.host ELSE @table.host END, "
    "reason = CASE WHEN excluded.last_ts >= @table.last_ts THEN excluded.reason ELSE @table.reason END, ";

std::string UpsertDestination(absl::string_view width) {
  return absl::StrReplaceAll(absl::StrReplaceAll(kUpsert, {{"@newest", kNewest}}),
                             {{"@table", absl::StrCat("la_flow_rollup_", width)},
                              {"@key", "bucket, agent_id, dst_ip, dst_port, protocol, verdict, rule"},
                              {"@payload", "dst_key, host, reason, flows, bytes, packets, last_ts"},
                              {"@marks", "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"}});
}

std::string UpsertAgent(absl::string_view width) {
  return absl::StrReplaceAll(kUpsert, {{"@newest", ""},
                                       {"@table", absl::StrCat("la_flow_agents_", width)},
                                       {"@key", "bucket, agent_id, verdict"},
                                       {"@payload", "flows, bytes, packets, last_ts"},
                                       {"@marks", "?, ?, ?, ?, ?, ?, ?"}});
}

bool BeginsFlow(const FlowEvent& event) {
  return event.event == "start" || event.event == "denied" || event.event == "flow";
}

}  // namespace

void Rollup::Sums::Add(const Sums& other) {
  flows += other.flows;
  bytes += other.bytes;
  packets += other.packets;
  if (other.last_ns >= last_ns) reason = other.reason;
  if (!other.host.empty() && (other.last_ns >= last_ns || host.empty())) host = other.host;
  last_ns = std::max(last_ns, other.last_ns);
  dst_key = other.dst_key;
}

absl::Status Rollup::ReadTotals(sql::Connection& connection, const std::vector<FlowEvent>& events,
                                absl::Time deadline) {
  absl::flat_hash_set<absl::string_view> ids;
  for (const FlowEvent& event : events) {
    if (HasFlowTotals(event)) ids.insert(event.flow_id);
  }
  if (ids.empty()) return absl::OkStatus();
  const std::string list = JsonList({ids.begin(), ids.end()});
  // Bytes and packets grow together, so the row with the most bytes has both.
  constexpr char kLargest[] =
      "(SELECT @column FROM la_flow_events AS e WHERE e.flow_id = q.value AND e.flow_id <> '' "
      "AND e.event <> 'denied' ORDER BY e.bytes DESC LIMIT 1)";
  static const auto* const statement = new std::string(
      absl::StrCat("SELECT q.value, ", absl::StrReplaceAll(kLargest, {{"@column", "e.bytes"}}), ", ",
                   absl::StrReplaceAll(kLargest, {{"@column", "e.packets_out + e.packets_in"}}), " FROM "));
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> rows,
      connection.Query(absl::StrCat(*statement, ListTable(connection.engine()), " AS q"), {list}, deadline));
  for (const sql::Row& row : rows) {
    if (!row[1].is_null()) totals_[row[0].text()] = {row[1].integer(), row[2].integer()};
  }
  return absl::OkStatus();
}

Rollup::Totals Rollup::Increase(const FlowEvent& event) {
  const int64_t packets = event.packets_out + event.packets_in;
  if (!HasFlowTotals(event)) {
    const bool counts = event.event != "start" && event.event != "update";
    return counts ? Totals{event.bytes, packets} : Totals{};
  }
  Totals& largest = totals_[event.flow_id];
  const Totals more = {std::max<int64_t>(0, event.bytes - largest.bytes),
                       std::max<int64_t>(0, packets - largest.packets)};
  largest.bytes += more.bytes;
  largest.packets += more.packets;
  return more;
}

void Rollup::Add(const FlowEvent& event, const std::string& dst_key) {
  if (event.event == "policy" || event.event == "loss") return;
  const Totals more = Increase(event);
  const Sums sums = {.flows = BeginsFlow(event) ? 1 : 0,
                     .bytes = more.bytes,
                     .packets = more.packets,
                     .last_ns = event.ts_ns,
                     .host = event.host,
                     .reason = event.reason,
                     .dst_key = dst_key};
  Key key = {.bucket_ns = BucketOf(event.ts_ns, kMinuteNs),
             .agent_id = event.agent_id,
             .dst_ip = event.dst_ip,
             .dst_port = event.dst_port,
             .protocol = event.protocol,
             .verdict = event.verdict,
             .rule = event.rule};
  Key agent = {.bucket_ns = key.bucket_ns, .agent_id = key.agent_id, .dst_port = 0, .verdict = key.verdict};
  minutes_[key].Add(sums);
  agent_minutes_[agent].Add(sums);
  key.bucket_ns = agent.bucket_ns = BucketOf(event.ts_ns, kHourNs);
  hours_[std::move(key)].Add(sums);
  agent_hours_[std::move(agent)].Add(sums);
}

absl::Status Rollup::Write(sql::Connection& connection, absl::Time deadline) const {
  static const auto* const statements = new std::vector<std::string>{UpsertDestination("1m"), UpsertDestination("1h"),
                                                                     UpsertAgent("1m"), UpsertAgent("1h")};
  std::vector<sql::Param> params;
  for (const auto& [statement, sums] : {std::pair(0, &minutes_), std::pair(1, &hours_)}) {
    params.clear();
    for (const auto& [key, sum] : *sums) {
      params.insert(params.end(),
                    {key.bucket_ns, key.agent_id, key.dst_ip, key.dst_port, key.protocol, key.verdict, key.rule,
                     sum.dst_key, sum.host, sum.reason, sum.flows, sum.bytes, sum.packets, sum.last_ns});
    }
    LATTICE_RETURN_IF_ERROR(connection.ExecuteMany((*statements)[statement], params, 14, deadline).status());
  }
  for (const auto& [statement, sums] : {std::pair(2, &agent_minutes_), std::pair(3, &agent_hours_)}) {
    params.clear();
    for (const auto& [key, sum] : *sums) {
      params.insert(params.end(),
                    {key.bucket_ns, key.agent_id, key.verdict, sum.flows, sum.bytes, sum.packets, sum.last_ns});
    }
    LATTICE_RETURN_IF_ERROR(connection.ExecuteMany((*statements)[statement], params, 7, deadline).status());
  }
  return absl::OkStatus();
}

}  // namespace lattice::control
