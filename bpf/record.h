/* Ring records. A reserve that fails loses nothing: the entry stays marked as
 * not reported and the sweep tells it later. */
#ifndef BPF_RECORD_H_
#define BPF_RECORD_H_

#include "maps.h"
#include "packet.h"
#include "stats.h"

/* Everything but the totals. */
static __always_inline void lat_record_flow(struct lat_record* record, const struct lat_flow6_key* key,
                                            const struct lat_flow* flow, lat_u64 now, lat_u64 now_ns) {
  lat_u64 idle = now - flow->last_seen_jiffies;
  record->time_ns = now_ns;
  record->start_ns = flow->start_ns;
  record->idle_ns = (__s64)idle > 0 ? idle * lat_config.ns_per_jiffy : 0;
  record->cgroup_id = flow->cgroup_id;
  record->generation = flow->generation;
  record->rule = flow->rule;
  record->verdict = LAT_ALLOW;
  record->reason = flow->reason;
  record->end_reason = LAT_END_NONE;
  record->direction = flow->started_by;
  record->scope = key->scope;
  __builtin_memcpy(record->local, key->local, 16);
  __builtin_memcpy(record->remote, key->remote, 16);
  record->local_port = key->local_port;
  record->remote_port = key->remote_port;
  record->proto = key->proto;
  record->tcp_flags[0] = flow->tcp_flags[0];
  record->tcp_flags[1] = flow->tcp_flags[1];
  record->pad = 0;
}

static __always_inline void lat_record_totals(struct lat_record* record, const struct lat_flow* flow) {
  for (int i = 0; i < 2; i++) {
    record->packets[i] = flow->packets[i];
    record->wire_packets[i] = record->packets[i] + flow->gso_extra[i];
    record->bytes[i] = flow->bytes[i];
  }
}

/* The totals move into the record: what another CPU adds meanwhile stays in the
 * entry and counts for what comes after. */
static __always_inline void lat_record_take(struct lat_record* record, struct lat_flow* flow) {
  for (int i = 0; i < 2; i++) {
    record->packets[i] = __sync_lock_test_and_set(&flow->packets[i], 0);
    record->wire_packets[i] = record->packets[i] + __sync_lock_test_and_set(&flow->gso_extra[i], 0);
    record->bytes[i] = __sync_lock_test_and_set(&flow->bytes[i], 0);
  }
}

/* START or UPDATE with the totals up to here; 0 if the ring is full. */
static __always_inline int lat_record_progress(const struct lat_flow6_key* key, struct lat_flow* flow,
                                               enum lat_event event, lat_u64 now, lat_u64 now_ns) {
  struct lat_record* record = bpf_ringbuf_reserve(&flow_ring, sizeof(*record), 0);
  if (!record) {
    lat_count(LAT_COUNT_FLOW_RING_FULL);
    return 0;
  }
  lat_record_flow(record, key, flow, now, now_ns);
  lat_record_totals(record, flow);
  record->event = event;
  bpf_ringbuf_submit(record, 0);
  flow->flags |= LAT_FLOW_REPORTED;
  flow->last_report_jiffies = now;
  return 1;
}

/* END, after a START that is still due; 0 if the ring is full. Leaves the entry
 * without counts. The caller holds the claim. */
static __always_inline int lat_record_end(const struct lat_flow6_key* key, struct lat_flow* flow,
                                          enum lat_end_reason reason, lat_u64 now, lat_u64 now_ns) {
  if (!(flow->flags & LAT_FLOW_REPORTED) && !lat_record_progress(key, flow, LAT_EVENT_START, now, now_ns)) return 0;
  struct lat_record* record = bpf_ringbuf_reserve(&flow_ring, sizeof(*record), 0);
  if (!record) {
    lat_count(LAT_COUNT_FLOW_RING_FULL);
    return 0;
  }
  lat_record_flow(record, key, flow, now, now_ns);
  lat_record_take(record, flow);
  record->event = LAT_EVENT_END;
  record->end_reason = reason;
  bpf_ringbuf_submit(record, 0);
  lat_count(LAT_COUNT_FLOWS_ENDED + reason);
  return 1;
}

/* All of a denied record. `entry` says everything but how much: that is what came since
 * the record before. */
static __always_inline void lat_record_attempt(struct lat_record* record, const struct lat_denied_key* key,
                                               const struct lat_denied* entry, lat_u64 packets, lat_u64 wire,
                                               lat_u64 bytes, lat_u64 now, lat_u64 now_ns) {
  lat_u64 idle = now - entry->last_seen_jiffies;
  lat_u32 egress = key->direction == LAT_EGRESS;
  __builtin_memset(record, 0, sizeof(*record));
  record->time_ns = now_ns;
  record->start_ns = entry->first_ns;
  record->idle_ns = (__s64)idle > 0 ? idle * lat_config.ns_per_jiffy : 0;
  record->packets[egress ? LAT_EGRESS : LAT_INGRESS] = packets;
  record->wire_packets[egress ? LAT_EGRESS : LAT_INGRESS] = wire;
  record->bytes[egress ? LAT_EGRESS : LAT_INGRESS] = bytes;
  record->cgroup_id = entry->cgroup_id;
  record->generation = entry->generation;
  record->rule = entry->rule;
  record->event = LAT_EVENT_DENIED;
  record->verdict = entry->verdict;
  record->reason = key->reason;
  record->direction = key->direction;
  record->scope = key->scope;
  __builtin_memcpy(record->local, key->local, 16);
  __builtin_memcpy(record->remote, key->remote, 16);
  record->local_port = egress ? entry->other_port : key->port;
  record->remote_port = egress ? key->port : entry->other_port;
  record->proto = key->proto;
}

/* The sweep's: what `entry` holds beyond what was reported; 0 if the ring is full. */
static __always_inline int lat_record_denied(const struct lat_denied_key* key, struct lat_denied* entry, lat_u64 now,
                                             lat_u64 now_ns) {
  struct lat_record* record = bpf_ringbuf_reserve(&denied_ring, sizeof(*record), 0);
  if (!record) {
    lat_count(LAT_COUNT_DENIED_RING_FULL);
    return 0;
  }
  lat_u64 packets = entry->packets, wire = entry->wire_packets, bytes = entry->bytes;
  lat_record_attempt(record, key, entry, packets - entry->reported_packets, wire - entry->reported_wire_packets,
                     bytes - entry->reported_bytes, now, now_ns);
  bpf_ringbuf_submit(record, 0);
  entry->reported_packets = packets;
  entry->reported_wire_packets = wire;
  entry->reported_bytes = bytes;
  entry->last_report_jiffies = now;
  return 1;
}

#endif /* BPF_RECORD_H_ */
