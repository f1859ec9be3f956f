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

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "userspace/base/clock.h"
#include "userspace/base/endpoint.h"
#include "userspace/base/event_loop.h"
#include "userspace/flow/record.h"
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
    // Of flows that go on. Zero: none.
    absl::Duration update_every = absl::Minutes(1);
    // Denied attempts of one remote, port, protocol and host within it are one record with their number.
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

  size_t live() const;
  struct Counters {
    uint64_t started = 0, ended = 0, denied = 0, failed = 0, revoked = 0;
    uint64_t bytes_out = 0, bytes_in = 0;  // of flows that ended
  };
  const Counters& counters() const { return counters_; }

 private:
  // The implementer's.
};

}  // namespace lattice::sandbox

#endif  // USERSPACE_SANDBOX_FLOW_LOG_H_
