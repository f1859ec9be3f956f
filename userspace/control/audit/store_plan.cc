#include "userspace/control/audit/store_plan.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"
#include "userspace/control/audit/store_dialect.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxWalks = 16;
constexpr int64_t kCountLimit = 50'000;
constexpr int64_t kSortLimit = 5'000;
// From here on it pays to look a row up in a second index before it is read.
constexpr int64_t kManyRows = 500;

struct Candidate {
  std::vector<Walk> walks;
  // The walks are no order of time: all of their rows are read and sorted, so they must be few.
  bool sorts = false;
  int64_t rows = 0;
};

// An index on one column. `part` is the condition of a partial one: repeated in the query, or the engine could not know
// that it may use it. `common`: values that a partial index leaves out.
struct ColumnIndex {
  const char* column;
  const char* index;
  const char* part;
  std::vector<Term> FlowFilter::*terms;
  std::vector<std::string> common;
};

const std::vector<ColumnIndex>& TextIndexes() {
  static const auto* const indexes = new std::vector<ColumnIndex>{
      {"trace_id", "la_flow_events_trace", "trace_id <> ''", &FlowFilter::trace_ids, {""}},
      {"host", "la_flow_events_host", "host <> ''", &FlowFilter::hosts, {""}},
      {"rule", "la_flow_events_rule", "rule <> ''", &FlowFilter::rules, {""}},
      {"event",
       "la_flow_events_event",
       "event <> 'start' AND event <> 'update' AND event <> 'end' AND event <> 'denied'",
       &FlowFilter::events,
       {"start", "update", "end", "denied"}},
      {"reason",
       "la_flow_events_reason",
       "reason <> '' AND reason <> 'none' AND reason <> 'allow_rule' AND reason <> 'default_allow' AND reason <> "
       "'reply' "
       "AND reason <> 'no_rule'",
       &FlowFilter::reasons,
       {"", "none", "allow_rule", "default_allow", "reply", "no_rule"}},
      {"protocol",
       "la_flow_events_protocol",
       "protocol <> '' AND protocol <> 'tcp' AND protocol <> 'udp'",
       &FlowFilter::protocols,
       {"", "tcp", "udp"}},
  };
  return *indexes;
}

Walk EqualWalk(absl::string_view column, absl::string_view index, absl::string_view part, OwnedValue value) {
  Walk walk{.index = std::string(index), .condition = {absl::StrCat(column, " = ?"), {std::move(value)}}};
  if (!part.empty()) walk.condition.Append(absl::StrCat(" AND ", part));
  return walk;
}

// Only denials are asked for.
bool OnlyDenied(const FlowFilter& filter) {
  return PositiveValues(filter.verdicts) == std::vector<std::string>{"drop"};
}

std::optional<Candidate> TextCandidate(const ColumnIndex& index, const FlowFilter& filter) {
  const std::vector<std::string> values = PositiveValues(filter.*index.terms);
  if (values.empty() || values.size() > kMaxWalks) return std::nullopt;
  Candidate candidate;
  for (const std::string& value : values) {
    if (std::find(index.common.begin(), index.common.end(), value) != index.common.end()) return std::nullopt;
    candidate.walks.push_back(EqualWalk(index.column, index.index, index.part, value));
  }
  return candidate;
}

std::optional<Candidate> AgentCandidate(const FlowFilter& filter) {
  const bool denied = OnlyDenied(filter);
  const std::vector<std::string> values = PositiveValues(filter.agents);
  if (values.size() > kMaxWalks || (values.empty() && !denied)) return std::nullopt;
  Candidate candidate;
  if (values.empty()) candidate.walks.push_back({"la_flow_events_denied", {"verdict = 'drop'", {}}});
  for (const std::string& value : values) {
    candidate.walks.push_back(denied ? EqualWalk("agent_id", "la_flow_events_agent_denied", "verdict = 'drop'", value)
                                     : EqualWalk("agent_id", "la_flow_events_agent", "", value));
  }
  return candidate;
}

absl::StatusOr<std::optional<Candidate>> PortCandidate(const FlowFilter& filter) {
  std::vector<int64_t> ports;
  for (const Term& term : filter.ports) {
    LATTICE_ASSIGN_OR_RETURN(const int64_t port, PortOf(term));
    if (!term.negate) ports.push_back(port);
  }
  std::sort(ports.begin(), ports.end());
  ports.erase(std::unique(ports.begin(), ports.end()), ports.end());
  if (ports.empty() || ports.size() > kMaxWalks) return std::optional<Candidate>();
  Candidate candidate;
  for (const int64_t port : ports) candidate.walks.push_back(EqualWalk("dst_port", "la_flow_events_port", "", port));
  return std::optional<Candidate>(std::move(candidate));
}

// Single addresses are walked in the order of time. A network is a range of addresses and none of time.
absl::StatusOr<std::optional<Candidate>> NetworkCandidate(const std::vector<Network>& networks,
                                                          absl::string_view column, absl::string_view index) {
  std::vector<std::pair<std::string, std::string>> ranges;
  for (const Network& network : networks) {
    LATTICE_ASSIGN_OR_RETURN(auto keys, KeysOf(network));
    if (!network.negate) ranges.push_back(std::move(keys));
  }
  std::sort(ranges.begin(), ranges.end());
  ranges.erase(std::unique(ranges.begin(), ranges.end()), ranges.end());
  if (ranges.empty() || ranges.size() > kMaxWalks) return std::optional<Candidate>();
  Candidate candidate;
  const bool single = std::all_of(ranges.begin(), ranges.end(), [](const auto& r) { return r.first == r.second; });
  if (single) {
    for (auto& range : ranges) candidate.walks.push_back(EqualWalk(column, index, "", range.first));
    return std::optional<Candidate>(std::move(candidate));
  }
  // One walk for all: ranges may overlap, and a row must come once.
  candidate.sorts = true;
  Walk walk{.index = std::string(index)};
  walk.condition.text = "(";
  for (auto& range : ranges) {
    walk.condition.Append(absl::StrCat(walk.condition.values.empty() ? "" : " OR ", column, " BETWEEN ? AND ?"));
    walk.condition.values.insert(walk.condition.values.end(), {range.first, range.second});
  }
  walk.condition.text += ")";
  candidate.walks.push_back(std::move(walk));
  return std::optional<Candidate>(std::move(candidate));
}

// Whether an agent was somewhere: both are frequent alone, so they have an index of their own.
absl::StatusOr<std::optional<Candidate>> AgentAddressCandidate(const FlowFilter& filter) {
  const std::vector<std::string> agents = PositiveValues(filter.agents);
  LATTICE_ASSIGN_OR_RETURN(const auto addresses,
                           NetworkCandidate(filter.destinations, "dst_key", "la_flow_events_agent_dst"));
  if (agents.empty() || !addresses.has_value() || addresses->sorts ||
      agents.size() * addresses->walks.size() > kMaxWalks) {
    return std::optional<Candidate>();
  }
  Candidate candidate;
  for (const Walk& address : addresses->walks) {
    for (const std::string& agent : agents) {
      Walk walk = address;
      walk.condition.Append(" AND agent_id = ?");
      walk.condition.values.emplace_back(agent);
      candidate.walks.push_back(std::move(walk));
    }
  }
  return std::optional<Candidate>(std::move(candidate));
}

// How many rows its walks have within the filter's time, up to `limit`.
absl::StatusOr<int64_t> Count(sql::Connection& connection, const FlowFilter& filter, const Candidate& candidate,
                              int64_t limit, absl::Time deadline) {
  int64_t rows = 0;
  for (const Walk& walk : candidate.walks) {
    Conditions conditions;
    conditions.Add(walk.condition);
    if (filter.from_ns) conditions.Add("ts >= ?", {*filter.from_ns});
    if (filter.to_ns) conditions.Add("ts < ?", {*filter.to_ns});
    Fragment inner = conditions.Where();
    inner.values.push_back(limit - rows);
    LATTICE_ASSIGN_OR_RETURN(const std::vector<sql::Row> counted,
                             connection.Query(absl::StrCat("SELECT count(*) FROM (SELECT 1 FROM ",
                                                           FromIndex(connection.engine(), "la_flow_events", walk.index),
                                                           inner.text, " LIMIT ?) AS bounded"),
                                              ToParams(inner.values), deadline));
    rows += counted[0][0].integer();
    if (rows >= limit) break;
  }
  return rows;
}

// Nodes have no index: a live one has rows everywhere, and of one that is gone la_flow_sources knows when its newest
// row was. One that is not there has none: rows of a node and its sources are written together.
absl::StatusOr<Walk> ByTime(sql::Connection& connection, const FlowFilter& filter, absl::Time deadline) {
  Walk walk;
  const std::vector<std::string> nodes = PositiveValues(filter.nodes);
  // Rows of older agents have no node, and sources neither.
  if (nodes.empty() || nodes.front().empty()) return walk;
  const std::vector<absl::string_view> views(nodes.begin(), nodes.end());
  LATTICE_ASSIGN_OR_RETURN(
      const std::vector<sql::Row> newest,
      connection.Query(absl::StrCat("SELECT max(last_ts) FROM la_flow_sources WHERE node IN (SELECT value FROM ",
                                    ListTable(connection.engine()), " AS q)"),
                       {JsonList(views)}, deadline));
  if (newest[0][0].is_null()) {
    walk.condition.text = "1 = 0";
  } else {
    walk.condition = {"ts <= ?", {newest[0][0].integer()}};
  }
  return walk;
}

absl::StatusOr<std::vector<Candidate>> Candidates(const FlowFilter& filter) {
  std::vector<Candidate> candidates;
  const auto add = [&](std::optional<Candidate> candidate) {
    if (candidate.has_value()) candidates.push_back(*std::move(candidate));
  };
  for (const ColumnIndex& index : TextIndexes()) add(TextCandidate(index, filter));
  LATTICE_ASSIGN_OR_RETURN(auto agent_addresses, AgentAddressCandidate(filter));
  // An agent's denials can be fewer than its visits to an address.
  if (!agent_addresses.has_value() || OnlyDenied(filter)) add(AgentCandidate(filter));
  if (agent_addresses.has_value()) {
    add(std::move(agent_addresses));
  } else {
    LATTICE_ASSIGN_OR_RETURN(auto destinations, NetworkCandidate(filter.destinations, "dst_key", "la_flow_events_dst"));
    add(std::move(destinations));
  }
  LATTICE_ASSIGN_OR_RETURN(auto sources, NetworkCandidate(filter.sources, "src_key", "la_flow_events_src"));
  add(std::move(sources));
  LATTICE_ASSIGN_OR_RETURN(auto ports, PortCandidate(filter));
  add(std::move(ports));
  return candidates;
}

// Two terms that are frequent alone can be rare together: the walk over one would read many rows for few. SQLite
// joins no two indexes by itself (PostgreSQL does), so the rows of the second are looked up in its index alone.
void Intersect(std::vector<Walk>& walks, const FlowFilter& filter, const Candidate& second) {
  Fragment in{.text = "rowid IN ("};
  for (const Walk& walk : second.walks) {
    Conditions conditions;
    conditions.Add(walk.condition);
    if (filter.from_ns) conditions.Add("ts >= ?", {*filter.from_ns});
    if (filter.to_ns) conditions.Add("ts < ?", {*filter.to_ns});
    in.Append(absl::StrCat(in.values.empty() ? "" : " UNION ALL ", "SELECT rowid FROM ",
                           FromIndex(sql::Engine::kSqlite, "la_flow_events", walk.index)));
    in.Append(conditions.Where());
  }
  in.Append(")");
  for (Walk& walk : walks) {
    walk.condition.Append(" AND ");
    walk.condition.Append(in);
  }
}

}  // namespace

absl::StatusOr<std::vector<Walk>> PlanWalks(sql::Connection& connection, const FlowFilter& filter,
                                            absl::Time deadline) {
  LATTICE_ASSIGN_OR_RETURN(std::vector<Candidate> candidates, Candidates(filter));
  // A single one that is in the order of time is never worse than a walk over everything.
  if (candidates.size() == 1 && !candidates[0].sorts) return std::move(candidates[0].walks);
  // One with few rows needs no comparison, and is found by counting few of the others.
  for (const int64_t limit : {kManyRows, kCountLimit}) {
    for (Candidate& candidate : candidates) {
      LATTICE_ASSIGN_OR_RETURN(candidate.rows, Count(connection, filter, candidate, limit, deadline));
      if (candidate.rows < kManyRows) return std::move(candidate.walks);
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.rows < b.rows; });
  const auto best = std::find_if(candidates.begin(), candidates.end(), [](const Candidate& candidate) {
    return !candidate.sorts || candidate.rows < kSortLimit;
  });
  if (best == candidates.end()) {
    LATTICE_ASSIGN_OR_RETURN(Walk by_time, ByTime(connection, filter, deadline));
    return std::vector<Walk>{std::move(by_time)};
  }
  const auto second = std::find_if(candidates.begin(), candidates.end(),
                                   [&](const Candidate& candidate) { return &candidate != &*best; });
  if (connection.engine() == sql::Engine::kSqlite && best->rows >= kManyRows && second != candidates.end() &&
      second->rows < kCountLimit) {
    Intersect(best->walks, filter, *second);
  }
  return std::move(best->walks);
}

}  // namespace lattice::control
