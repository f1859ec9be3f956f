// The tables of the audit pipeline: la_flow_events and what is derived from it.
//
// Promises: Append() is one transaction, and appending the same events again changes nothing: each event is once
// in the table and once in the roll-ups whatever is delivered twice, by whichever replica. A hole in the numbers of a
// (node, boot) is a row of la_flow_gaps until its records come or a loss event names them. An error of
// Append() means that nothing of the batch is stored.
//
// Unavailable: the database is down, locked or full; try again later. Every call blocks: not for the event loop's
// thread. Any thread, several at once.
#ifndef USERSPACE_CONTROL_AUDIT_FLOW_STORE_H_
#define USERSPACE_CONTROL_AUDIT_FLOW_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/control/audit/flow_event.h"

namespace lattice::control {

// A message that is no event.
struct Reject {
  std::string reason;  // "malformed", "agent_mismatch", "oversized", …
  std::string detail;  // for people
  std::string subject;
  std::string payload;         // raw, its first 64 KiB
  uint64_t stream_seq = 0;     // with stream_time_ns unique: delivered twice it is one row
  int64_t stream_time_ns = 0;  // of the message, by the NATS server
};

// What a node says of its audit file: how far it went and the hash there. See audit.md "Local file".
struct AuditHead {
  std::string node;
  std::string boot;
  std::string agent_id;
  int64_t seq = 0;
  std::string h;
  int64_t ts_ns = 0;
  // Of a closed segment: its digest file as it is, the signature over it (base64) and the key it verifies with.
  std::string digest;
  std::string signature;
  std::string public_key;  // base64, 32 bytes
  bool signature_valid = false;
  StreamPlace place;
};

struct IngestBatch {
  std::vector<FlowEvent> events;
  std::vector<Reject> rejects;
  std::vector<AuditHead> heads;
  std::vector<StreamPlace> places;  // of the events, as many; none where they came from no stream
  // Each agent_id is proven by a token: then a source (node, boot) is of the first agent that names it, in a record, a
  // head, a digest or as the lost_boot of a loss event, and what another agent says of it becomes a reject,
  // "source_of_another_agent".
  bool agents_verified = false;
};

struct IngestResult {
  uint64_t stored = 0;
  uint64_t duplicates = 0;
  uint64_t rejected = 0;
  uint64_t heads = 0;
  // The events that were new, by their index in the batch: for the live tail.
  std::vector<size_t> fresh;
};

// A value that is given several times is OR, one with `negate` is NOT; different fields are AND.
struct Term {
  std::string value;
  bool negate = false;
};
// IPv4 and IPv6 do not mix: an address matches a network of its own family only.
struct Network {
  std::string cidr;  // canonical: "10.0.0.0/8"
  bool negate = false;
};

struct FlowFilter {
  std::optional<int64_t> from_ns;  // inclusive
  std::optional<int64_t> to_ns;    // exclusive
  std::vector<Term> agents;
  std::vector<Term> verdicts;
  std::vector<Term> directions;
  std::vector<Term> protocols;
  std::vector<Term> ports;  // dst_port, decimal
  std::vector<Term> rules;
  std::vector<Term> trace_ids;
  std::vector<Term> events;  // start, update, end, denied, policy, loss, flow
  std::vector<Term> hosts;
  std::vector<Term> nodes;
  std::vector<Term> reasons;
  std::vector<Network> destinations;
  std::vector<Network> sources;
};

// Where a page ended: the next begins after it. Its text form is opaque to clients.
struct PageKey {
  int64_t ts_ns = 0;
  std::string id;
};

struct FlowQuery {
  FlowFilter filter;
  bool ascending = false;  // by (ts, id)
  size_t limit = 100;      // at most 1,000
  std::optional<PageKey> after;
};

struct FlowPage {
  std::vector<FlowEvent> events;
  std::optional<PageKey> next;  // nothing: that was all
};

// How complete the answer is.
struct Completeness {
  // Of the nodes that were heard of in the last hour, the oldest of their newest records; a node whose clock is more
  // than an hour behind does not count. 0: none was heard of.
  int64_t watermark_ns = 0;
  uint64_t gaps = 0;  // missing numbers that no loss event explains, over all sources
  uint64_t lost = 0;  // records that loss events name
};

struct TimelinePoint {
  int64_t minute_ns = 0;  // begin of the bucket
  uint64_t allowed = 0;   // flows that began; a flow whose start is not stored is not in it
  uint64_t denied = 0;    // denied attempts
  uint64_t bytes = 0;
};

enum class TopBy { kDestination, kAgent, kPort, kRule };
enum class TopMetric { kBytes, kFlows, kDenied };
struct TopEntry {
  std::string key;
  uint64_t bytes = 0;
  uint64_t flows = 0;
  uint64_t denied = 0;
};

// A denied destination and what would have allowed it.
struct Hint {
  std::string agent_id;
  std::string dst_ip;
  int64_t dst_port = 0;
  std::string protocol;
  std::string host;
  std::string reason;
  uint64_t attempts = 0;
  int64_t last_ns = 0;
  std::string rule;  // in the grammar of --egress-allow: "203.0.113.7/32:443/tcp"
};

// One boot of one node.
struct Source {
  std::string node;
  std::string boot;
  std::string agent_id;
  int64_t first_seq = 0;
  int64_t last_seq = 0;
  int64_t last_ts_ns = 0;
  int64_t last_seen_ns = 0;  // when the newest came in
  uint64_t stored = 0;
  uint64_t missing = 0;
  uint64_t lost = 0;
  std::optional<AuditHead> head;  // the newest
};

struct Gap {
  std::string node;
  std::string boot;
  int64_t first_seq = 0;
  int64_t last_seq = 0;
  int64_t found_ns = 0;
  std::string explained_by;  // eventId of the loss event that names these numbers; empty: nobody does
};

struct AgentSummary {
  std::string agent_id;
  int64_t last_seen_ns = 0;
  uint64_t flows = 0;
  uint64_t denied = 0;
  uint64_t bytes = 0;
};

struct RetentionReport {
  uint64_t events = 0;
  uint64_t rollups = 0;
  uint64_t rejects = 0;
  bool more = false;  // the time was over first; call again
};

// The least id of a row that came in at `time`.
std::string RowIdAt(absl::Time time);

class FlowStore {
 public:
  virtual ~FlowStore() = default;

  virtual absl::StatusOr<IngestResult> Append(const IngestBatch& batch) = 0;

  // DeadlineExceeded: the query was ended at `deadline`. The same for all that follow.
  virtual absl::StatusOr<FlowPage> Query(const FlowQuery& query, absl::Time deadline) = 0;
  // In the order in which they came in, what came after the row `after_id` and before `before_id`: ids are in that
  // order, see RowIdAt(). Several replicas commit side by side, so the last moments may still get rows in between.
  virtual absl::StatusOr<std::vector<FlowEvent>> Arrived(const FlowFilter& filter, const std::string& after_id,
                                                         const std::string& before_id, size_t limit,
                                                         absl::Time deadline) = 0;
  // Nothing if there is no such event.
  virtual absl::StatusOr<std::optional<FlowEvent>> ByEventId(const std::string& event_id, absl::Time deadline) = 0;
  virtual absl::StatusOr<Completeness> ReadCompleteness(absl::Time deadline) = 0;

  // From the per-minute roll-up; of the filter it knows from/to (whole minutes), agents, verdicts, protocols,
  // ports and destinations: InvalidArgument for the rest. `buckets` at most, of whole minutes each, or whole hours
  // where they are longer than five minutes.
  virtual absl::StatusOr<std::vector<TimelinePoint>> Timeline(const FlowFilter& filter, size_t buckets,
                                                              absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<TopEntry>> Top(const FlowFilter& filter, TopBy by, TopMetric metric, size_t limit,
                                                    absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<Hint>> Hints(const FlowFilter& filter, size_t limit, absl::Time deadline) = 0;

  virtual absl::StatusOr<std::vector<Source>> Sources(absl::Time deadline) = 0;
  virtual absl::StatusOr<std::vector<Gap>> Gaps(const std::string& node, const std::string& boot, size_t limit,
                                                absl::Time deadline) = 0;  // empty node: all
  virtual absl::StatusOr<std::vector<AuditHead>> Digests(const std::string& node, size_t limit,
                                                         absl::Time deadline) = 0;  // of closed segments, newest first
  virtual absl::StatusOr<std::vector<Reject>> Rejects(size_t limit, absl::Time deadline) = 0;  // newest first
  virtual absl::StatusOr<std::vector<AgentSummary>> Agents(const FlowFilter& filter, absl::Time deadline) = 0;

  // Deletes what is older than `before_ns` and came in before it, in transactions of at most some thousand rows, until
  // `deadline`. `archive`, if set, gets the events of each transaction before it commits; its error keeps them.
  virtual absl::StatusOr<RetentionReport> DeleteBefore(
      int64_t before_ns, const std::function<absl::Status(const std::vector<FlowEvent>&)>& archive,
      absl::Time deadline) = 0;

  // OK: the database answers and takes writes.
  virtual absl::Status Check(absl::Time deadline) = 0;
};

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_AUDIT_FLOW_STORE_H_
