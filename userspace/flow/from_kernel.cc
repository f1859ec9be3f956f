#include "userspace/flow/from_kernel.h"

#include <algorithm>

namespace lattice::flow {
namespace {

absl::Time WallTime(uint64_t monotonic_ns, const Context& context) {
  return absl::FromUnixNanos(static_cast<int64_t>(monotonic_ns) + context.wall_minus_monotonic_ns);
}

// See FlowRecord::mode.
lat_mode ModeOf(lat_verdict verdict, const Context& context) {
  switch (verdict) {
    case LAT_DENY:
      return LAT_MODE_ENFORCE;
    case LAT_AUDIT:
      return LAT_MODE_AUDIT;
    default:
      return context.mode;
  }
}

FlowRecord OwnRecord(const Context& context, const Clock& clock, Event event) {
  FlowRecord record;
  record.event = event;
  record.ts = clock.Now();
  record.monotonic_ns = static_cast<uint64_t>(clock.MonotonicNs());
  record.agent_id = context.agent_id;
  record.iface = context.iface;
  record.mode = context.mode;
  return record;
}

}  // namespace

int64_t MeasureClockOffset(const Clock& clock) {
  return absl::ToUnixNanos(clock.Now()) - clock.MonotonicNs();
}

FlowRecord FromKernel(const lat_record& raw, const Context& context) {
  FlowRecord record;
  record.event = static_cast<Event>(raw.event);
  record.ts = WallTime(raw.time_ns, context);
  record.monotonic_ns = raw.time_ns;
  record.agent_id = context.agent_id;
  record.trace_id = context.trace_id;
  if (raw.scope == LAT_SCOPE_IFACE) record.iface = context.iface;
  record.scope = raw.scope;
  record.mode = ModeOf(raw.verdict, context);
  record.direction = raw.direction;
  record.verdict = raw.verdict;
  record.reason = FromKernelReason(raw.reason);
  record.end_reason = FromKernelEndReason(raw.end_reason);
  if (raw.rule != 0 && context.rule_name) {
    const absl::string_view name = context.rule_name(raw.rule - 1);
    record.rule.assign(name.data(), name.size());
  }
  const bool from_here = raw.direction == LAT_EGRESS;
  record.src = IpAddress::FromBytes(from_here ? raw.local : raw.remote);
  record.dst = IpAddress::FromBytes(from_here ? raw.remote : raw.local);
  record.src_port = from_here ? raw.local_port : raw.remote_port;
  record.dst_port = from_here ? raw.remote_port : raw.local_port;
  record.protocol = raw.proto;
  record.bytes_out = raw.bytes[LAT_EGRESS];
  record.bytes_in = raw.bytes[LAT_INGRESS];
  record.packets_out = raw.packets[LAT_EGRESS];
  record.packets_in = raw.packets[LAT_INGRESS];
  record.wire_packets_out = raw.wire_packets[LAT_EGRESS];
  record.wire_packets_in = raw.wire_packets[LAT_INGRESS];
  record.start = WallTime(raw.start_ns, context);
  record.start_monotonic_ns = raw.start_ns;
  // idle_ns comes from jiffies and may reach back before the start.
  const uint64_t last_packet_ns = raw.time_ns - std::min<uint64_t>(raw.idle_ns, raw.time_ns);
  record.duration_ms = (last_packet_ns - std::min<uint64_t>(raw.start_ns, last_packet_ns)) / 1'000'000;
  record.cgroup_id = raw.cgroup_id;
  if (raw.cgroup_id != 0 && context.cgroup_path) {
    const absl::string_view path = context.cgroup_path(raw.cgroup_id);
    record.cgroup.assign(path.data(), path.size());
  }
  record.policy_generation = raw.generation;
  return record;
}

FlowRecord PolicyRecord(const Context& context, const Clock& clock, uint32_t generation, absl::string_view hash) {
  FlowRecord record = OwnRecord(context, clock, Event::kPolicy);
  record.policy_generation = generation;
  record.policy_hash = std::string(hash);
  return record;
}

FlowRecord LossRecord(const Context& context, const Clock& clock, absl::string_view stage, uint64_t count,
                      absl::Time from, absl::Time to) {
  FlowRecord record = OwnRecord(context, clock, Event::kLoss);
  record.stage = std::string(stage);
  record.lost_count = count;
  record.lost_from = from;
  record.lost_to = to;
  return record;
}

}  // namespace lattice::flow
