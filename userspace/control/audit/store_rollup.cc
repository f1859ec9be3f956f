#include "userspace/control/audit/store_rollup.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

// No row goes above 2^60, so that adding a batch never leaves 64 bits.
constexpr char kUpsert[] =
    "INSERT INTO @table (@key, @payload) VALUES (@marks) ON CONFLICT (@key) DO UPDATE SET @more"
    "flows = @table.flows + excluded.flows, "
    "bytes = CASE WHEN @table.bytes + excluded.bytes > 1152921504606846976 THEN 1152921504606846976 "
    "ELSE @table.bytes + excluded.bytes END, "
    "packets = CASE WHEN @table.packets + excluded.packets > 1152921504606846976 THEN 1152921504606846976 "
    "ELSE @table.packets + excluded.packets END";
constexpr char kNewest[] =
    "last_ts = CASE WHEN excluded.last_ts > @table.last_ts THEN excluded.last_ts ELSE @table.last_ts END, ";
constexpr char kNewestTexts[] =
    "host = CASE WHEN excluded.host <> '' AND (excluded.last_ts >= @table.last_ts OR @table.host = '') "
    "THEN excluded.host ELSE @table.host END, "
    "reason = CASE WHEN excluded.last_ts >= @table.last_ts THEN excluded.reason ELSE @table.reason END, ";

// What goes into one kind of table, and which of a key it keeps.
struct Kind {
  std::string name;
  std::string key, payload, more;
  size_t width;
  Rollup::Key (*keep)(const Rollup::Key& key);
  void (*append)(const Rollup::Key& key, const Rollup::Sums& sums, std::vector<sql::Param>& params);
};

const std::vector<Kind>& Kinds() {
  using Key = Rollup::Key;
  using Sums = Rollup::Sums;
  static const auto* const kinds = new std::vector<Kind>{
      {"la_flow_rollup_", "bucket, agent_id, dst_ip, dst_port, protocol, verdict, rule",
       "dst_key, host, reason, last_ts, flows, bytes, packets", absl::StrCat(kNewestTexts, kNewest), 14,
       [](const Key& key) { return key; },
       [](const Key& key, const Sums& sums, std::vector<sql::Param>& params) {
         params.insert(params.end(),
                       {key.bucket_ns, key.agent_id, key.dst_ip, key.dst_port, key.protocol, key.verdict, key.rule,
                        sums.dst_key, sums.host, sums.reason, sums.last_ns, sums.flows, sums.bytes, sums.packets});
       }},
      {"la_flow_totals_", "bucket, dst_ip, dst_port, protocol, verdict, rule",
       "dst_key, records, flows, bytes, packets", "records = @table.records + excluded.records, ", 11,
       [](const Key& key) {
         return Key{.bucket_ns = key.bucket_ns,
                    .dst_ip = key.dst_ip,
                    .dst_port = key.dst_port,
                    .protocol = key.protocol,
                    .verdict = key.verdict,
                    .rule = key.rule};
       },
       [](const Key& key, const Sums& sums, std::vector<sql::Param>& params) {
         params.insert(params.end(), {key.bucket_ns, key.dst_ip, key.dst_port, key.protocol, key.verdict, key.rule,
                                      sums.dst_key, sums.records, sums.flows, sums.bytes, sums.packets});
       }},
      {"la_flow_agents_", "bucket, agent_id, verdict", "last_ts, flows, bytes, packets", kNewest, 7,
       [](const Key& key) { return Key{.bucket_ns = key.bucket_ns, .agent_id = key.agent_id, .verdict = key.verdict}; },
       [](const Key& key, const Sums& sums, std::vector<sql::Param>& params) {
         params.insert(params.end(),
                       {key.bucket_ns, key.agent_id, key.verdict, sums.last_ns, sums.flows, sums.bytes, sums.packets});
       }}};
  return *kinds;
}

std::string Upsert(const Kind& kind, absl::string_view width) {
  return absl::StrReplaceAll(absl::StrReplaceAll(kUpsert, {{"@more", kind.more}}),
                             {{"@table", absl::StrCat(kind.name, width)},
                              {"@key", kind.key},
                              {"@payload", kind.payload},
                              {"@marks", absl::StrJoin(std::vector<std::string>(kind.width, "?"), ", ")}});
}

// The sums of `table` by what `keep` leaves of their keys.
template <typename Keep>
Rollup::Table Fold(const Rollup::Table& table, Keep keep) {
  Rollup::Table folded;
  for (const auto& [key, sums] : table) folded[keep(key)].Add(sums);
  return folded;
}

absl::Status WriteTable(sql::Connection& connection, const Kind& kind, const std::string& upsert,
                        const Rollup::Table& table, absl::Time deadline) {
  std::vector<const Rollup::Table::value_type*> ordered;
  ordered.reserve(table.size());
  for (const auto& entry : table) ordered.push_back(&entry);
  std::sort(ordered.begin(), ordered.end(), [](const auto* a, const auto* b) { return a->first < b->first; });
  std::vector<sql::Param> params;
  params.reserve(ordered.size() * kind.width);
  for (const auto* entry : ordered) kind.append(entry->first, entry->second, params);
  return connection.ExecuteMany(upsert, params, kind.width, deadline).status();
}

bool BeginsFlow(const FlowEvent& event) {
  return event.event == "start" || event.event == "denied" || event.event == "flow";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> RollupKeys() {
  std::vector<std::pair<std::string, std::string>> keys;
  for (const Kind& kind : Kinds()) keys.emplace_back(kind.name, kind.key);
  return keys;
}

void Rollup::Sums::Add(const Sums& other) {
  records += other.records;
  flows += other.flows;
  bytes += other.bytes;
  packets += other.packets;
  if (other.last_ns >= last_ns) reason = other.reason;
  if (!other.host.empty() && (other.last_ns >= last_ns || host.empty())) host = other.host;
  last_ns = std::max(last_ns, other.last_ns);
  dst_key = other.dst_key;
}

absl::Status Rollup::ReadTotals(sql::Connection& connection, absl::Span<const FlowEvent* const> events,
                                absl::Time deadline) {
  for (const FlowEvent* event : events) {
    if (HasFlowTotals(*event)) totals_.try_emplace(event->flow_id);
  }
  if (totals_.empty()) return absl::OkStatus();
  std::vector<absl::string_view> ids;
  ids.reserve(totals_.size());
  for (const auto& [id, totals] : totals_) ids.push_back(id);
  // Bytes and packets grow together, so the row with the most bytes has both.
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> rows,
                           connection.Query(LargestPerValue(connection.engine(), "la_flow_events",
                                                            "flow_id, bytes, packets_out + packets_in AS packets",
                                                            "flow_id", "flow_id <> '' AND event <> 'denied'", "bytes"),
                                            {JsonList(ids)}, deadline));
  for (const sql::Row& row : rows) {
    const auto found = totals_.find(row[0].text());
    if (found != totals_.end()) found->second = {row[1].integer(), row[2].integer()};
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

void Rollup::Add(const FlowEvent& event, absl::string_view dst_key) {
  if (event.event == "policy" || event.event == "loss") return;
  const Totals more = Increase(event);
  minutes_[{.bucket_ns = BucketOf(event.ts_ns, kMinuteNs),
            .agent_id = event.agent_id,
            .dst_ip = event.dst_ip,
            .dst_port = event.dst_port,
            .protocol = event.protocol,
            .verdict = event.verdict,
            .rule = event.rule}]
      .Add({.records = 1,
            .flows = BeginsFlow(event) ? 1 : 0,
            .bytes = more.bytes,
            .packets = more.packets,
            .last_ns = event.ts_ns,
            .host = event.host,
            .reason = event.reason,
            .dst_key = dst_key});
}

absl::Status Rollup::Write(sql::Connection& connection, absl::Time deadline) const {
  static const auto* const upserts = [] {
    auto* texts = new std::vector<std::string>;
    for (const Kind& kind : Kinds()) texts->insert(texts->end(), {Upsert(kind, "1m"), Upsert(kind, "1h")});
    return texts;
  }();
  for (size_t i = 0; i < Kinds().size(); ++i) {
    const Kind& kind = Kinds()[i];
    const Table minutes = Fold(minutes_, kind.keep);
    const Table hours = Fold(minutes, [](Key key) {
      key.bucket_ns = BucketOf(key.bucket_ns, kHourNs);
      return key;
    });
    LATTICE_RETURN_IF_ERROR(WriteTable(connection, kind, (*upserts)[2 * i], minutes, deadline));
    LATTICE_RETURN_IF_ERROR(WriteTable(connection, kind, (*upserts)[2 * i + 1], hours, deadline));
  }
  return absl::OkStatus();
}

}  // namespace lattice::control
