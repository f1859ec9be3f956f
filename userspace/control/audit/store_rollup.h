// What a batch adds to the roll-ups: la_flow_rollup_* (per destination) and la_flow_agents_*, each per minute and hour.
//
// flows: a "start", a denied attempt (one record), or a "flow" of an older agent. bytes and packets: records of a
// living flow carry totals since its start, so only what a total exceeds the largest one that is stored of this
// flow is added. The sum over a flow is its largest total, in whatever order and however often its records come; the
// largest stored total is read from la_flow_events itself (index on flow_id, bytes), so there is no second state that
// could disagree. A denied record tells what came since the one before and is added as it is. A record of a
// flow without flow_id counts when it is the "end".
//
// Not thread-safe.
#ifndef USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_
#define USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_event.h"
#include "userspace/sql/connection.h"

namespace lattice::control {

inline constexpr int64_t kMinuteNs = 60'000'000'000;
inline constexpr int64_t kHourNs = 60 * kMinuteNs;

// True if its counters are totals since the start of its flow.
inline bool HasFlowTotals(const FlowEvent& event) {
  return !event.flow_id.empty() && event.event != "denied";
}

class Rollup {
 public:
  // The largest stored totals of the flows of `events`; before any of them is stored.
  absl::Status ReadTotals(sql::Connection& connection, const std::vector<FlowEvent>& events, absl::Time deadline);
  // Once for each event that was really stored.
  void Add(const FlowEvent& event, const std::string& dst_key);
  // Adds all of it to the tables, in the order of their keys: two transactions cannot wait for each other.
  absl::Status Write(sql::Connection& connection, absl::Time deadline) const;

 private:
  struct Key {
    int64_t bucket_ns;
    std::string agent_id, dst_ip;
    int64_t dst_port;
    std::string protocol, verdict, rule;
    auto operator<=>(const Key&) const = default;
  };
  struct Sums {
    int64_t flows = 0, bytes = 0, packets = 0, last_ns = INT64_MIN;
    std::string host, reason;  // of the newest that has one
    std::string dst_key;
    void Add(const Sums& other);
  };
  struct Totals {
    int64_t bytes = 0, packets = 0;
  };

  // What exceeds the flow's largest totals so far; remembers the new ones.
  Totals Increase(const FlowEvent& event);

  absl::flat_hash_map<std::string, Totals> totals_;  // by flow_id
  std::map<Key, Sums> minutes_, hours_;
  std::map<Key, Sums> agent_minutes_, agent_hours_;  // only bucket, agent and verdict of the key
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_STORE_ROLLUP_H_
