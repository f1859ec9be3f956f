// Timeline, Top, Hints and Agents: sums over the roll-ups.
//
// A range of time is made of whole hours, read from the tables per hour, and the minutes at both ends, read from the
// tables per minute: a week is some 170 hours and at most 118 minutes. Where all that is asked for are sums, an hour of
// which the range has more than half is read as well and the minutes that are not in the range are taken off: at most
// 60 minutes, and none of those to come.
#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/ip.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/sql_flow_store.h"
#include "userspace/control/audit/store_dialect.h"
#include "userspace/control/audit/store_filter.h"
#include "userspace/control/audit/store_rollup.h"
#include "userspace/control/audit/store_text.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxRows = 1'000;
constexpr size_t kMaxBuckets = 500;
// Buckets longer than this are made of hours.
constexpr int64_t kLongestMinuteBucketNs = 5 * kMinuteNs;

struct Range {
  int64_t from_ns, to_ns;  // whole minutes
};

// 64-bit ends: nothing lies before or after.
Range RangeOf(const FlowFilter& filter) {
  // No record is from before 1970; at the other end a bucket more still fits.
  constexpr int64_t kEnd = (std::numeric_limits<int64_t>::max() / kHourNs - 1) * kHourNs;
  const int64_t from = std::clamp<int64_t>(filter.from_ns.value_or(0), 0, kEnd);
  const int64_t to = std::clamp<int64_t>(filter.to_ns.value_or(kEnd), 0, kEnd);
  // A minute that the range touches is in it.
  return {BucketOf(from, kMinuteNs), to >= kEnd ? kEnd : BucketOf(to + kMinuteNs - 1, kMinuteNs)};
}

// A table and the part of a range that is read from it. `sign` -1: it is taken off.
struct Piece {
  const char* suffix;
  Range range;
  int sign = 1;
};

std::vector<Piece> PiecesOf(const Range& range) {
  const int64_t first_hour = BucketOf(range.from_ns + kHourNs - 1, kHourNs);
  const int64_t last_hour = BucketOf(range.to_ns, kHourNs);
  if (first_hour >= last_hour) return {{"1m", range}};
  std::vector<Piece> pieces = {{"1h", {first_hour, last_hour}}};
  if (range.from_ns < first_hour) pieces.push_back({"1m", {range.from_ns, first_hour}});
  if (last_hour < range.to_ns) pieces.push_back({"1m", {last_hour, range.to_ns}});
  return pieces;
}

// The same with fewer minutes, for sums alone.
std::vector<Piece> SummedPiecesOf(const Range& range) {
  const int64_t before = BucketOf(range.from_ns, kHourNs);
  const int64_t behind = BucketOf(range.to_ns + kHourNs - 1, kHourNs);
  const bool take_off_first = range.from_ns - before < kHourNs / 2;
  const bool take_off_last = behind - range.to_ns < kHourNs / 2;
  const Range hours = {take_off_first ? before : before + kHourNs, take_off_last ? behind : behind - kHourNs};
  if (hours.from_ns >= hours.to_ns) return {{"1m", range}};
  std::vector<Piece> pieces = {{"1h", hours}};
  const auto add_minutes = [&](int64_t from, int64_t to, int sign) {
    if (from < to) pieces.push_back({"1m", {from, to}, sign});
  };
  add_minutes(range.from_ns, hours.from_ns, 1);
  add_minutes(hours.from_ns, range.from_ns, -1);
  add_minutes(hours.to_ns, range.to_ns, 1);
  add_minutes(range.to_ns, hours.to_ns, -1);
  return pieces;
}

absl::Status CheckKnown(const FlowFilter& filter) {
  const std::pair<bool, const char*> unknown[] = {
      {!filter.directions.empty(), "direction"}, {!filter.rules.empty(), "rule"},
      {!filter.trace_ids.empty(), "trace"},      {!filter.events.empty(), "event"},
      {!filter.hosts.empty(), "host"},           {!filter.nodes.empty(), "node"},
      {!filter.reasons.empty(), "reason"},       {!filter.sources.empty(), "source"}};
  for (const auto& [given, name] : unknown) {
    if (given)
      return absl::InvalidArgumentError(absl::StrCat("a filter by ", name, " is not known of sums per minute"));
  }
  return absl::OkStatus();
}

bool NeedsDestinations(const FlowFilter& filter) {
  return !filter.protocols.empty() || !filter.ports.empty() || !filter.destinations.empty();
}

// FROM of the rows of `pieces` that match, as the table `r`.
absl::StatusOr<Fragment> RowsOf(absl::string_view table, absl::string_view columns, const std::vector<Piece>& pieces,
                                const FlowFilter& filter, absl::string_view extra) {
  Fragment from{.text = " FROM ("};
  for (size_t i = 0; i < pieces.size(); ++i) {
    Conditions conditions;
    conditions.Add("bucket >= ? AND bucket < ?", {pieces[i].range.from_ns, pieces[i].range.to_ns});
    LATTICE_RETURN_IF_ERROR(AddTerms(filter, conditions));
    if (!extra.empty()) conditions.Add(extra);
    from.Append(absl::StrCat(i == 0 ? "" : " UNION ALL ", "SELECT ", columns, ", ", pieces[i].sign, " AS sign FROM ",
                             table, pieces[i].suffix));
    from.Append(conditions.Where());
  }
  from.Append(") AS r");
  return from;
}

// What --egress-allow would have needed.
std::string RuleFor(const Hint& hint) {
  const absl::StatusOr<IpAddress> address = IpAddress::Parse(hint.dst_ip);
  if (!address.ok()) return "";
  const std::string prefix = absl::StrCat(address->ToString(), address->is_v4() ? "/32" : "/128");
  if (hint.protocol == "tcp" || hint.protocol == "udp") {
    const std::string bracketed = address->is_v4() ? prefix : absl::StrCat("[", address->ToString(), "]/128");
    return absl::StrCat(bracketed, ":", hint.dst_port, "/", hint.protocol);
  }
  if (absl::StartsWith(hint.protocol, "icmp")) return absl::StrCat(prefix, ":icmp");
  return prefix;
}

}  // namespace

absl::StatusOr<std::vector<TimelinePoint>> SqlFlowStore::Timeline(const FlowFilter& filter, size_t buckets,
                                                                  absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(CheckKnown(filter));
  if (!filter.from_ns || !filter.to_ns) return absl::InvalidArgumentError("a timeline needs from and to");
  const Range range = RangeOf(filter);
  std::vector<TimelinePoint> points;
  if (range.from_ns >= range.to_ns) return points;
  const auto count = static_cast<int64_t>(std::clamp<size_t>(buckets, 1, kMaxBuckets));
  // Unsigned: the range may be longer than the numbers of one sign.
  const uint64_t length = static_cast<uint64_t>(range.to_ns) - static_cast<uint64_t>(range.from_ns);
  const uint64_t unit = length / static_cast<uint64_t>(count) > kLongestMinuteBucketNs ? kHourNs : kMinuteNs;
  const uint64_t per_bucket = (length / static_cast<uint64_t>(count) + unit - 1) / unit * unit;
  const auto width = static_cast<int64_t>(std::max(unit, per_bucket));
  if (length / static_cast<uint64_t>(width) > kMaxBuckets) return absl::InvalidArgumentError("the range is too long");

  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  const std::vector<Piece> pieces = width >= kHourNs ? PiecesOf(range) : std::vector<Piece>{{"1m", range}};
  LATTICE_ASSIGN_OR_RETURN(const Fragment rows,
                           RowsOf(NeedsDestinations(filter) ? "la_flow_rollup_" : "la_flow_agents_",
                                  "bucket, verdict, flows, bytes", pieces, filter, ""));
  const sql::Engine engine = database_.engine();
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> sums,
                           connection->Query(absl::StrCat("SELECT bucket, verdict, ", Sum(engine, "flows"), ", ",
                                                          Sum(engine, "bytes"), rows.text, " GROUP BY bucket, verdict"),
                                             ToParams(rows.values), deadline));
  // Buckets begin at multiples of their width, so that the same time is in the same bucket at every look.
  std::map<int64_t, TimelinePoint> by_bucket;
  const int64_t first = BucketOf(range.from_ns, width);
  const uint64_t points_in_range =
      (static_cast<uint64_t>(range.to_ns) - static_cast<uint64_t>(first) - 1) / static_cast<uint64_t>(width) + 1;
  for (uint64_t i = 0; i < points_in_range; ++i) {
    const int64_t at = first + static_cast<int64_t>(i) * width;
    by_bucket[at].minute_ns = at;
  }
  for (const sql::Row& row : sums) {
    TimelinePoint& point = by_bucket[BucketOf(row[0].integer(), width)];
    (row[1].text() == "drop" ? point.denied : point.allowed) += static_cast<uint64_t>(row[2].integer());
    point.bytes += static_cast<uint64_t>(row[3].integer());
  }
  for (const auto& [at, point] : by_bucket) points.push_back(point);
  return points;
}

absl::StatusOr<std::vector<TopEntry>> SqlFlowStore::Top(const FlowFilter& filter, TopBy by, TopMetric metric,
                                                        size_t limit, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(CheckKnown(filter));
  const char* column = by == TopBy::kDestination ? "dst_ip"
                       : by == TopBy::kAgent     ? "agent_id"
                       : by == TopBy::kPort      ? "dst_port"
                                                 : "rule";
  const bool over_agents = by != TopBy::kAgent && filter.agents.empty();
  const bool agents_only = by == TopBy::kAgent && !NeedsDestinations(filter);
  const char* table = over_agents ? "la_flow_totals_" : agents_only ? "la_flow_agents_" : "la_flow_rollup_";
  const Range range = RangeOf(filter);
  LATTICE_ASSIGN_OR_RETURN(
      const Fragment rows,
      RowsOf(table, absl::StrCat(column, ", verdict, flows, bytes", over_agents ? ", records" : ""),
             over_agents ? SummedPiecesOf(range) : PiecesOf(range), filter,
             metric == TopMetric::kDenied ? "verdict = 'drop'" : ""));
  const sql::Engine engine = database_.engine();
  const char* order = metric == TopMetric::kBytes ? "2" : metric == TopMetric::kFlows ? "3" : "4";
  Fragment statement{.text = absl::StrCat("SELECT ", column, ", ", Sum(engine, "sign * bytes"), ", ",
                                          Sum(engine, "CASE WHEN verdict = 'drop' THEN 0 ELSE sign * flows END"), ", ",
                                          Sum(engine, "CASE WHEN verdict = 'drop' THEN sign * flows ELSE 0 END"))};
  statement.Append(rows);
  statement.Append(" GROUP BY 1");
  // What is left when all of its minutes are taken off.
  if (over_agents) statement.Append(" HAVING sum(sign * records) > 0");
  statement.Append(absl::StrCat(" ORDER BY ", order, " DESC, 1 LIMIT ?"));
  statement.values.push_back(static_cast<int64_t>(std::min(limit, kMaxRows)));
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> sums,
                           connection->Query(statement.text, ToParams(statement.values), deadline));
  std::vector<TopEntry> top;
  // Below 0 where an hour is at the most that a row holds and its minutes are not.
  const auto sum_of = [](const sql::Value& sum) { return static_cast<uint64_t>(std::max<int64_t>(0, sum.integer())); };
  for (const sql::Row& row : sums) {
    top.push_back({.key = by == TopBy::kPort ? absl::StrCat(row[0].integer()) : row[0].text(),
                   .bytes = sum_of(row[1]),
                   .flows = sum_of(row[2]),
                   .denied = sum_of(row[3])});
  }
  return top;
}

absl::StatusOr<std::vector<Hint>> SqlFlowStore::Hints(const FlowFilter& filter, size_t limit, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(CheckKnown(filter));
  LATTICE_ASSIGN_OR_RETURN(
      const Fragment rows,
      RowsOf("la_flow_rollup_", "agent_id, dst_ip, dst_port, protocol, flows, last_ts, host, reason",
             PiecesOf(RangeOf(filter)), filter, "verdict = 'drop'"));
  const sql::Engine engine = database_.engine();
  Fragment statement{.text =
                         absl::StrCat("SELECT agent_id, dst_ip, dst_port, protocol, ", OfNewest(engine, "host"), ", ",
                                      OfNewest(engine, "reason"), ", ", Sum(engine, "flows"), ", max(last_ts)")};
  statement.Append(rows);
  statement.Append(" GROUP BY 1, 2, 3, 4 ORDER BY 7 DESC, 1, 2, 3, 4 LIMIT ?");
  statement.values.push_back(static_cast<int64_t>(std::min(limit, kMaxRows)));
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(std::vector<sql::Row> sums,
                           connection->Query(statement.text, ToParams(statement.values), deadline));
  std::vector<Hint> hints;
  for (sql::Row& row : sums) {
    Hint hint{.agent_id = row[0].TakeText(),
              .dst_ip = row[1].TakeText(),
              .dst_port = row[2].integer(),
              .protocol = row[3].TakeText(),
              .host = row[4].TakeText(),
              .reason = row[5].TakeText(),
              .attempts = static_cast<uint64_t>(row[6].integer()),
              .last_ns = row[7].integer()};
    hint.rule = RuleFor(hint);
    hints.push_back(std::move(hint));
  }
  return hints;
}

absl::StatusOr<std::vector<AgentSummary>> SqlFlowStore::Agents(const FlowFilter& filter, absl::Time deadline) {
  LATTICE_RETURN_IF_ERROR(CheckKnown(filter));
  LATTICE_ASSIGN_OR_RETURN(const Fragment rows,
                           RowsOf(NeedsDestinations(filter) ? "la_flow_rollup_" : "la_flow_agents_",
                                  "agent_id, verdict, flows, bytes, last_ts", PiecesOf(RangeOf(filter)), filter, ""));
  const sql::Engine engine = database_.engine();
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(deadline));
  LATTICE_ASSIGN_OR_RETURN(
      std::vector<sql::Row> sums,
      connection->Query(absl::StrCat("SELECT agent_id, max(last_ts), ",
                                     Sum(engine, "CASE WHEN verdict = 'drop' THEN 0 ELSE flows END"), ", ",
                                     Sum(engine, "CASE WHEN verdict = 'drop' THEN flows ELSE 0 END"), ", ",
                                     Sum(engine, "bytes"), rows.text, " GROUP BY 1 ORDER BY 1"),
                        ToParams(rows.values), deadline));
  std::vector<AgentSummary> agents;
  for (sql::Row& row : sums) {
    agents.push_back({.agent_id = row[0].TakeText(),
                      .last_seen_ns = row[1].integer(),
                      .flows = static_cast<uint64_t>(row[2].integer()),
                      .denied = static_cast<uint64_t>(row[3].integer()),
                      .bytes = static_cast<uint64_t>(row[4].integer())});
  }
  return agents;
}

}  // namespace lattice::control
