// The records of a sandbox's flows: who is connected, who was denied and why, what failed; and those flows themselves,
// as long as they live, so that another policy ends what it does not allow.
//
//   FlowLog::FlowId id = log.Start({.protocol = IPPROTO_TCP, .local = …, .remote = …, .host = "api.example.com"},
//   verdict, owner); log.End(id, flow::EndReason::kFin); log.Denied(facts, verdict);
//
// The promise: each flow that starts has its start, its updates and its end in the audit file, or the loss is counted
// and told; and each denied attempt is counted in a record. Records are handed to the RecordWriter's thread; nothing
// here waits for the disk. One thread: the loop's.
#ifndef USERSPACE_SANDBOX_FLOW_LOG_H_
#define USERSPACE_SANDBOX_FLOW_LOG_H_

#include <lattice/abi.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/event_loop.h"
#include "userspace/flow/from_kernel.h"
#include "userspace/flow/record.h"
#include "userspace/netstack/linked_queue.h"
#include "userspace/sandbox/egress_filter.h"
#include "userspace/sandbox/record_writer.h"

namespace lattice::sandbox {

// What a record says of a flow beside its verdict.
struct FlowFacts {
  lat_direction direction = LAT_EGRESS;
  uint8_t protocol = 0;
  Endpoint local;        // on the overlay; port 0: none yet
  Endpoint remote;       // unspecified: the name was not found
  std::string host;      // the name that was asked for; empty: none
  std::string trace_id;  // of the client; empty: none
  uint32_t pid = 0;      // of the client, where it is known
  std::string comm;
};

// Of one direction each, so far. Packets where they are seen, 0 else.
struct FlowTotals {
  uint64_t bytes_out = 0, bytes_in = 0;
  uint64_t packets_out = 0, packets_in = 0;
};

// Whose flow it is.
class LiveFlow {
 public:
  virtual ~LiveFlow() = default;
  virtual FlowTotals totals() const = 0;
  // The policy does not allow it any more: cut it. FlowLog has ended its record already: no End() for it.
  virtual void Revoke() = 0;
};

class FlowLog {
 public:
  using FlowId = uint64_t;

  struct Options {
    std::string agent_id;
    std::string iface;  // "wg0" in the records
    // Ours on the overlay: a record's, where the facts have no local address yet.
    std::vector<IpAddress> addresses;
    // Of flows that go on and moved bytes since. Zero: none.
    absl::Duration update_every = absl::Minutes(1);
    // Denied attempts of one client (trace id), remote, judged port, protocol, host and reason within it are one record
    // with their number; the first is told at once.
    absl::Duration denied_every = absl::Seconds(1);
    size_t max_denied = 4096;  // different ones within that time; beyond: a loss record of kStageDeniedTable
  };

  // References must outlive it.
  FlowLog(EventLoop& loop, const Clock& clock, const EgressFilter& filter, RecordWriter& writer, Options options);
  // Ends what lives with kShutdown.
  ~FlowLog();

  // `owner` is asked for its totals until End() or Revoke().
  FlowId Start(const FlowFacts& facts, const Verdict& verdict, LiveFlow& owner);
  // Takes the owner's totals. `reason` with kFailed only: why.
  void End(FlowId id, flow::EndReason end_reason, flow::Reason reason = flow::Reason::kNone);
  void Denied(const FlowFacts& facts, const Verdict& verdict);
  // An allowed attempt that came to nothing before there was a flow: a name that is not found. A start and an end.
  void Failed(const FlowFacts& facts, const Verdict& verdict, flow::Reason reason);

  // The filter has changed: a policy record, and Revoke() for each flow it does not allow.
  void PolicyChanged();

  // Writes what is due by the clock: updates, and the numbers of denied attempts. A timer of its own calls it.
  void RunDue();

  size_t live() const { return flows_.size(); }
  struct Counters {
    // Failed() is a start, an end and a failure; `denied` are attempts, not records.
    uint64_t started = 0, ended = 0, denied = 0, failed = 0, revoked = 0;
    uint64_t bytes_out = 0, bytes_in = 0;  // of flows that ended
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Flow {
    FlowId id = 0;
    FlowFacts facts;
    Verdict verdict;
    uint32_t generation = 0;  // of the verdict
    int64_t start_ns = 0;
    LiveFlow* owner = nullptr;
    int64_t update_ns = 0;    // when the next is due
    uint64_t told_bytes = 0;  // in and out, by the record before
    netstack::QueueHook<Flow> hook;
  };
  // Attempts that are one.
  using DeniedKey =
      std::tuple<lat_direction, uint8_t, std::array<uint8_t, 16>, uint16_t, flow::Reason, std::string, std::string>;
  struct DeniedAttempts {
    DeniedKey key;
    FlowFacts facts;  // of the first
    Verdict verdict;  // of the newest, as is the generation
    uint32_t generation = 0;
    int64_t first_ns = 0, newest_ns = 0;
    int64_t due_ns = 0;
    uint64_t untold = 0;
    netstack::QueueHook<DeniedAttempts> hook;
  };

  flow::FlowRecord Record(flow::Event event, const FlowFacts& facts, const Verdict& verdict, uint32_t generation,
                          int64_t start_ns, int64_t now_ns) const;
  flow::FlowRecord RecordOf(const Flow& flow, flow::Event event, int64_t now_ns) const;
  void Finish(Flow& flow, flow::EndReason end_reason, flow::Reason reason);
  void Update(Flow& flow, int64_t now_ns);
  void TellDenied(DeniedAttempts& attempts, int64_t now_ns);
  void TellUntold();
  void WakeAt(int64_t due_ns);

  EventLoop& loop_;
  const Clock& clock_;
  const EgressFilter& filter_;
  RecordWriter& writer_;
  const Options options_;
  flow::Context context_;
  FlowId last_id_ = 0;
  absl::flat_hash_map<FlowId, std::unique_ptr<Flow>> flows_;
  absl::flat_hash_map<DeniedKey, std::unique_ptr<DeniedAttempts>> denied_;
  // Each in the order of what is due, since all wait equally long.
  netstack::LinkedQueue<Flow, &Flow::hook> updates_;
  netstack::LinkedQueue<DeniedAttempts, &DeniedAttempts::hook> denied_due_;
  uint64_t untold_ = 0;  // denied attempts beyond max_denied
  absl::Time untold_from_;
  int64_t untold_due_ns_ = 0;
  int64_t wake_ns_ = INT64_MAX;  // when the timer comes up
  EventLoop::TimerId timer_ = 0;
  Counters counters_;
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_FLOW_LOG_H_
