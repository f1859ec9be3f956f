// One flow record as a value: what the audit file, NATS, the CLI and the control
// plane all speak about. Sans-I/O; the text forms are userspace/audit's.
//
// The kernel sees a flow as local and remote; a record says who called whom: src is
// the side that sent the first packet. For an egress flow dst is the remote side, for
// an ingress flow src is the remote side and dst the local address and port. For ICMP
// the ports are those of the kernel's flow key (lat_flow4_key): for echo the local one is
// the identifier and the remote one the type of the request.
#ifndef USERSPACE_FLOW_RECORD_H_
#define USERSPACE_FLOW_RECORD_H_

#include <lattice/abi.h>

#include <cstdint>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/ip.h"
#include "userspace/flow/names.h"

namespace lattice::flow {

inline constexpr int kRecordVersion = 1;

// Where records got lost; any other word is allowed too.
inline constexpr absl::string_view kStageDeniedTable = "denied_table";  // attempts that found the denied table full
inline constexpr absl::string_view kStageUntracked = "untracked";       // packets passed by --on-table-full=allow
inline constexpr absl::string_view kStageDisk = "disk";                 // dropped while the disk was full
inline constexpr absl::string_view kStagePartialLine = "partial_line";  // a half-written line was cut at start
inline constexpr absl::string_view kStageTruncated = "truncated";       // somebody truncated the live file
inline constexpr absl::string_view kStageDeleted = "deleted";           // somebody deleted the live file
inline constexpr absl::string_view kStageDamaged = "damaged";           // the end of the file can't be read
inline constexpr absl::string_view kStageSeqHole = "seq_hole";          // given out before, and no longer in the file
inline constexpr absl::string_view kStageSpoolCap = "spool_cap";        // deleted before it was published
inline constexpr absl::string_view kStageUnpublishable = "unpublishable";     // in the file, but NATS can't have it
inline constexpr absl::string_view kStageDetached = "detached";               // in the kernel when it was taken away
inline constexpr absl::string_view kStageSegmentMissing = "segment_missing";  // a file was gone before it was published

struct FlowRecord {
  // eventId is "<node>/<boot>/<seq>". AuditFile::Add() fills these three.
  std::string node;
  std::string boot;
  uint64_t seq = 0;  // from 1 in each boot, without holes

  Event event = Event::kStart;
  absl::Time ts;              // of the record, wall clock
  uint64_t monotonic_ns = 0;  // the same moment on CLOCK_MONOTONIC: orders a boot's records where the wall clock jumps

  std::string agent_id;  // "identity" in the file, "agentId" on NATS
  std::string trace_id;  // empty where unknown
  std::string iface;     // empty in cgroup scope, which covers every interface
  lat_scope scope = LAT_SCOPE_IFACE;
  // Of an allowed flow, the daemon's mode. Of a drop, whether it happened: "enforce"
  // dropped the packets, "audit" (verdict LAT_AUDIT) only says what would have been.
  lat_mode mode = LAT_MODE_ENFORCE;

  // start, update, end, denied
  lat_direction direction = LAT_EGRESS;
  lat_verdict verdict = LAT_ALLOW;
  Reason reason = Reason::kNone;
  EndReason end_reason = EndReason::kNone;
  std::string rule;  // its name; empty: none decided
  IpAddress src;
  IpAddress dst;
  uint16_t src_port = 0;  // 0 where the protocol has none
  uint16_t dst_port = 0;
  uint8_t protocol = 0;
  // Flow events: totals since the start. Denied: since the record before.
  uint64_t bytes_out = 0;
  uint64_t bytes_in = 0;
  uint64_t packets_out = 0;  // as the hook saw them
  uint64_t packets_in = 0;
  uint64_t wire_packets_out = 0;  // GSO packets counted as their segments
  uint64_t wire_packets_in = 0;
  absl::Time start;
  uint64_t start_monotonic_ns = 0;  // with the addresses, the identity of the flow: see FlowId()
  uint64_t duration_ms = 0;         // first to last packet
  uint64_t cgroup_id = 0;           // 0 and empty: unknown, here and below
  std::string cgroup;               // path
  std::string host;                 // the name that was asked for
  uint32_t pid = 0;
  std::string comm;

  uint32_t policy_generation = 0;  // also in a policy event
  std::string policy_hash;         // policy event only

  // loss only
  std::string stage;
  uint64_t lost_count = 0;
  absl::Time lost_from;  // the loss happened between these
  absl::Time lost_to;
  uint64_t lost_first_seq = 0;  // 0: the lost records had no numbers, or they are not known
  uint64_t lost_last_seq = 0;
  std::string lost_boot;  // whose numbers; empty: of this record's boot

  bool operator==(const FlowRecord&) const = default;

  bool is_flow() const { return event != Event::kPolicy && event != Event::kLoss; }
  const IpAddress& local() const { return direction == LAT_EGRESS ? src : dst; }
  const IpAddress& remote() const { return direction == LAT_EGRESS ? dst : src; }
  uint16_t local_port() const { return direction == LAT_EGRESS ? src_port : dst_port; }
  uint16_t remote_port() const { return direction == LAT_EGRESS ? dst_port : src_port; }
};

std::string EventId(absl::string_view node, absl::string_view boot, uint64_t seq);
// Undoes EventId; a node may contain '/'. False if `text` has another form.
bool ParseEventId(absl::string_view text, std::string* node, std::string* boot, uint64_t* seq);

// "<boot>-<start, hex>-<32 bits of scope and addresses, hex>": equal for all records of
// one flow, also over restarts of the daemon.
std::string FlowId(const FlowRecord& record);
// Its last part. Of the same addresses, ports, protocol and scope it is the same.
uint32_t AddressHash(const FlowRecord& record);
// What FlowId() says of the start.
bool ParseFlowId(absl::string_view text, uint64_t* start_monotonic_ns);

// What makes a kernel record the same record when it is read again from the ring.
// Comparable within one boot only.
struct RecordIdentity {
  uint64_t monotonic_ns = 0;
  uint64_t start_monotonic_ns = 0;
  IpAddress local;
  IpAddress remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  uint8_t protocol = 0;
  Event event = Event::kStart;
  Reason reason = Reason::kNone;
  lat_scope scope = LAT_SCOPE_IFACE;
  lat_direction direction = LAT_EGRESS;

  static RecordIdentity Of(const lat_record& record);
  static RecordIdentity Of(const FlowRecord& record);  // of a record with is_flow()

  bool operator==(const RecordIdentity&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const RecordIdentity& id) {
    // The times alone nearly always differ; the rest is compared.
    return H::combine(std::move(h), id.monotonic_ns, id.start_monotonic_ns, id.local_port, id.remote_port);
  }
};

}  // namespace lattice::flow

#endif  // USERSPACE_FLOW_RECORD_H_
