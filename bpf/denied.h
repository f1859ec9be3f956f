/* Packets that the policy does not let pass: counted, named in the bounded
 * denied table, and its first packet told at once. In audit mode they pass. */
#ifndef BPF_DENIED_H_
#define BPF_DENIED_H_

#include "audited.h"
#include "maps.h"
#include "packet.h"
#include "policy.h"
#include "record.h"
#include "stats.h"

static __always_inline void lat_denied_count(struct lat_denied* entry, const struct lat_packet* packet,
                                             const struct lat_judgement* judgement, lat_u32 verdict, lat_u64 now) {
  if (__sync_fetch_and_add(&entry->packets, 1) & LAT_DENIED_GONE) {
    lat_count(LAT_COUNT_DENIED_TABLE_FULL);
    return;
  }
  entry->last_seen_jiffies = now;
  entry->generation = judgement->generation;
  entry->rule = judgement->rule;
  entry->verdict = verdict;
  __sync_fetch_and_add(&entry->wire_packets, packet->wire);
  __sync_fetch_and_add(&entry->bytes, packet->bytes);
}

/* The first packet of an attempt. Its record is there before the entry is, and so is
 * what it reports: the sweep never tells the same packet again. */
static __always_inline void lat_denied_insert(struct __sk_buff* skb, const struct lat_denied_key* key,
                                              const struct lat_packet* packet, const struct lat_judgement* judgement,
                                              lat_u32 verdict, lat_u64 now) {
  struct lat_denied fresh = {};
  lat_u64 now_ns = bpf_ktime_get_ns();
  struct lat_record* record = bpf_ringbuf_reserve(&denied_ring, sizeof(*record), 0);
  fresh.first_ns = now_ns;
  fresh.last_report_jiffies = now;
  fresh.last_seen_jiffies = now;
  fresh.cgroup_id = bpf_skb_cgroup_id(skb);
  fresh.generation = judgement->generation;
  fresh.rule = judgement->rule;
  fresh.verdict = verdict;
  if (lat_has_ports(key->proto))
    fresh.other_port = key->direction == LAT_EGRESS ? packet->key.local_port : packet->key.remote_port;
  fresh.packets = 1;
  fresh.wire_packets = packet->wire;
  fresh.bytes = packet->bytes;
  int error;
  if (record) {
    fresh.reported_packets = fresh.packets;
    fresh.reported_wire_packets = fresh.wire_packets;
    fresh.reported_bytes = fresh.bytes;
    error = bpf_map_update_elem(&denied, key, &fresh, BPF_NOEXIST);
    lat_record_attempt(record, key, &fresh, fresh.packets, fresh.wire_packets, fresh.bytes, now, now_ns);
    if (error) {
      bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    } else {
      bpf_ringbuf_submit(record, 0);
    }
  } else {
    error = bpf_map_update_elem(&denied, key, &fresh, BPF_NOEXIST);
    lat_count(LAT_COUNT_DENIED_RING_FULL);
  }
  if (!error) return;
  /* EEXIST: another CPU was first. */
  struct lat_denied* entry = error == -17 ? bpf_map_lookup_elem(&denied, key) : 0;
  if (entry) {
    lat_denied_count(entry, packet, judgement, verdict, now);
  } else {
    lat_count(LAT_COUNT_DENIED_TABLE_FULL);
    lat_count_map_error(LAT_MAP_DENIED, error);
  }
}

/* Answers the packet's verdict: LAT_DENY, or LAT_AUDIT in audit mode. */
LAT_FUNCTION int lat_deny(struct __sk_buff* skb, const struct lat_packet* packet,
                          const struct lat_judgement* judgement) {
  if (!packet || !judgement) return LAT_DENY;
  lat_u32 verdict = lat_is_audit_mode() ? LAT_AUDIT : LAT_DENY;
  lat_u64 now = bpf_jiffies64();
  if (verdict == LAT_AUDIT) lat_audited_learn(packet, now);
  struct lat_denied_key key = {
      .port = lat_judged_port(&packet->key, packet->direction),
      .proto = packet->key.proto,
      .scope = packet->key.scope,
      .direction = packet->direction,
      .reason = judgement->reason,
  };
  __builtin_memcpy(key.local, packet->key.local, 16);
  __builtin_memcpy(key.remote, packet->key.remote, 16);
  lat_count_reason(key.scope, key.direction, judgement->reason);
  lat_count_rule(judgement->rule);
  struct lat_denied* entry = bpf_map_lookup_elem(&denied, &key);
  if (entry) {
    lat_denied_count(entry, packet, judgement, verdict, now);
  } else {
    lat_denied_insert(skb, &key, packet, judgement, verdict, now);
  }
  return verdict;
}

#endif /* BPF_DENIED_H_ */
