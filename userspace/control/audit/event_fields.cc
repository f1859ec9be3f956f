#include "userspace/control/audit/event_fields.h"

#include <vector>

#include "absl/container/flat_hash_map.h"

namespace lattice::control {
namespace {

constexpr size_t kWord = 64;
constexpr size_t kName = 128;  // upstream's width of agent_id
constexpr size_t kLong = 4096;

EventField Text(absl::string_view key, std::string FlowEvent::*member, size_t max_bytes, bool always = false) {
  return {key, FieldKind::kText, member, always, max_bytes};
}
EventField Number(absl::string_view key, int64_t FlowEvent::*member, bool always = false) {
  return {key, FieldKind::kNumber, member, always};
}
EventField Time(absl::string_view key, int64_t FlowEvent::*member, bool always = false) {
  return {key, FieldKind::kTime, member, always};
}

const std::vector<EventField>& Table() {
  using E = FlowEvent;
  static const auto* const fields = new std::vector<EventField>{
      Text("agentId", &E::agent_id, kName, true),
      Text("traceId", &E::trace_id, kName, true),
      Text("direction", &E::direction, kWord, true),
      Text("dstIp", &E::dst_ip, kWord, true),
      Number("dstPort", &E::dst_port, true),
      Number("bytes", &E::bytes, true),
      Time("ts", &E::ts_ns, true),
      Text("eventId", &E::event_id, kLong, true),
      Number("seq", &E::seq),
      Text("node", &E::node, kLong),
      Text("event", &E::event, kWord, true),
      Text("verdict", &E::verdict, kWord, true),
      Text("reason", &E::reason, kWord),
      Text("rule", &E::rule, kLong),
      Text("srcIp", &E::src_ip, kWord),
      Number("srcPort", &E::src_port),
      Text("protocol", &E::protocol, kWord),
      Text("iface", &E::iface, kWord),
      Text("scope", &E::scope, kWord),
      Text("mode", &E::mode, kWord),
      Number("bytesOut", &E::bytes_out),
      Number("bytesIn", &E::bytes_in),
      Number("packetsOut", &E::packets_out),
      Number("packetsIn", &E::packets_in),
      Time("start", &E::start_ns),
      Number("durationMs", &E::duration_ms),
      Text("endReason", &E::end_reason, kWord),
      Number("policyGeneration", &E::policy_generation),
      Text("policyHash", &E::policy_hash, kName),
      Text("flowId", &E::flow_id, kName),
      Text("host", &E::host, kLong),
      Text("cgroup", &E::cgroup, kLong),
      Number("pid", &E::pid),
      Text("comm", &E::comm, kWord),
      Text("stage", &E::stage, kWord),
      Number("count", &E::lost_count),
      Time("from", &E::lost_from_ns),
      Time("to", &E::lost_to_ns),
      Number("firstSeq", &E::lost_first_seq),
      Number("lastSeq", &E::lost_last_seq),
      Text("lostBoot", &E::lost_boot, kName),
  };
  return *fields;
}

}  // namespace

absl::Span<const EventField> EventFields() {
  return Table();
}

const EventField* FindEventField(absl::string_view key) {
  static const auto* const by_key = [] {
    auto* map = new absl::flat_hash_map<absl::string_view, const EventField*>;
    for (const EventField& field : EventFields()) (*map)[field.key] = &field;
    return map;
  }();
  const auto found = by_key->find(key);
  return found == by_key->end() ? nullptr : found->second;
}

}  // namespace lattice::control
