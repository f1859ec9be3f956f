// What a batch adds to the roll-ups, each per minute and hour: la_flow_rollup_* (per agent and destination),
// la_flow_totals_* (per destination, over all agents) and la_flow_agents_*.
//
// flows: a "start", a denied attempt (one record), or a "flow" of an older agent. bytes and packets: records of a
// living flow carry totals since its start, so only what a total exceeds the largest one that is stored of this
// flow is added. The sum over a flow is its largest total, in whatever order and however often its records come; the
// largest stored total is read from la_flow_events itself (index on flow_id, bytes), so there is no second state that
// could disagree. A denied record tells what came since the one before and is added as it is. A record of a
// flow without flow_id counts when it is the "end".
//
// Borrows from the events: they must outlive it. Not thread-safe.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_
#define USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "userspace/control/audit/flow_event.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

inline constexpr int64_t kMinuteNs = 60'000'000'000;
inline constexpr int64_t kHourNs = 60 * kMinuteNs;

// The tables without "1m" and "1h", and the columns of their keys.
std::vector<std::pair<std::string, std::string>> RollupKeys();

// True if its counters are totals since the start of its flow.
inline bool HasFlowTotals(const FlowEvent& event) {
  return !event.flow_id.empty() && event.event != "denied";
}

class Rollup {
 public:
  // The largest stored totals of the flows of `events`; before any of them is stored.
  absl::Status ReadTotals(sql::Connection& connection, absl::Span<const FlowEvent* const> events, absl::Time deadline);
  // Once for each event that was really stored.
  void Add(const FlowEvent& event, absl::string_view dst_key);
  // Adds all of it to the tables, in the order of their keys: two transactions cannot wait for each other.
  absl::Status Write(sql::Connection& connection, absl::Time deadline) const;

  struct Key {
    int64_t bucket_ns = 0;
    absl::string_view agent_id, dst_ip;
    int64_t dst_port = 0;
    absl::string_view protocol, verdict, rule;
    auto Parts() const { return std::tie(bucket_ns, agent_id, dst_ip, dst_port, protocol, verdict, rule); }
    bool operator==(const Key& other) const { return Parts() == other.Parts(); }
    bool operator<(const Key& other) const { return Parts() < other.Parts(); }
    template <typename H>
    friend H AbslHashValue(H hash, const Key& key) {
      return H::combine(std::move(hash), key.Parts());
    }
  };
  struct Sums {
    int64_t records = 0, flows = 0, bytes = 0, packets = 0, last_ns = INT64_MIN;
    absl::string_view host, reason;  // of the newest that has one
    absl::string_view dst_key;
    void Add(const Sums& other);
  };
  using Table = absl::flat_hash_map<Key, Sums>;

 private:
  struct Totals {
    int64_t bytes = 0, packets = 0;
  };

  // What exceeds the flow's largest totals so far; remembers the new ones.
  Totals Increase(const FlowEvent& event);

  absl::flat_hash_map<absl::string_view, Totals> totals_;  // by flow_id
  Table minutes_;                                          // what all tables are made of
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_
