// One row of la_flow_events as a value, between the message on NATS and the table.
//
// The names are those of the message (tools/schema/flow-record.schema.json) in the style of C++. Numbers that a
// message may leave out are 0, texts are empty. Times are nanoseconds since 1970 UTC, in the tables too: no engine's
// own type keeps nanoseconds.
#ifndef USERSPACE_CONTROL_AUDIT_FLOW_EVENT_H_
#define USERSPACE_CONTROL_AUDIT_FLOW_EVENT_H_

#include <cstdint>
#include <string>

namespace lattice::control {

// Where a message lies in the stream.
struct StreamPlace {
  uint64_t seq = 0;
  int64_t time_ns = 0;  // by the server's clock
};

struct FlowEvent {
  std::string id;  // of the row: a UUID, given by the store

  // Upstream's part of the message.
  std::string agent_id;
  std::string trace_id;
  std::string direction;  // "egress", "ingress"; empty in policy and loss events
  std::string dst_ip;
  int64_t dst_port = 0;
  int64_t bytes = 0;
  int64_t ts_ns = 0;

  // Ours. Of a message from an older agent, which has none of these: event_id is made from its place in the
  // stream, event is "flow", and the rest is empty.
  std::string event_id;  // unique: "<node>/<boot>/<seq>"
  std::string node;
  std::string boot;
  int64_t seq = 0;  // from 1 in each boot of a node; 0: the message has none
  std::string event;
  std::string verdict;  // "allow", "drop", empty
  std::string reason;
  std::string rule;
  std::string src_ip;
  int64_t src_port = 0;
  std::string protocol;
  std::string iface;
  std::string scope;
  std::string mode;
  int64_t bytes_out = 0;
  int64_t bytes_in = 0;
  int64_t packets_out = 0;
  int64_t packets_in = 0;
  int64_t start_ns = 0;
  int64_t duration_ms = 0;
  std::string end_reason;
  int64_t policy_generation = 0;
  std::string policy_hash;
  std::string flow_id;
  std::string host;
  std::string cgroup;
  int64_t pid = 0;
  std::string comm;
  // Loss events only: `lost_count` records did not get here, for `stage`'s reason; their numbers where known.
  std::string stage;
  int64_t lost_count = 0;
  int64_t lost_from_ns = 0;
  int64_t lost_to_ns = 0;
  int64_t lost_first_seq = 0;
  int64_t lost_last_seq = 0;
  std::string lost_boot;  // whose numbers; empty: this event's boot

  bool operator==(const FlowEvent&) const = default;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_FLOW_EVENT_H_
