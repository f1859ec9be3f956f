/* Packets that the policy does not let pass: counted, named in the bounded
 * denied table, and its first packet told at once. In audit mode they pass. */
#ifndef BPF_DENIED_H_
#define BPF_DENIED_H_

#include "maps.h"
#include "packet.h"
#include "policy.h"
#include "record.h"
#include "stats.h"

static __always_inline void lat_denied_count(struct lat_denied* entry, const struct lat_packet* packet,
                                             const struct lat_judgement* judgement, lat_u32 verdict, lat_u64 now) {
  entry->last_seen_jiffies = now;
  entry->generation = judgement->generation;
  entry->rule = judgement->rule;
  entry->verdict = verdict;
  __sync_fetch_and_add(&entry->packets, 1);
  __sync_fetch_and_add(&entry->wire_packets, packet->wire);
  __sync_fetch_and_add(&entry->bytes, packet->bytes);
}

static __always_inline void lat_denied_insert(struct __sk_buff* skb, const struct lat_denied_key* key,
                                              const struct lat_packet* packet, const struct lat_judgement* judgement,
                                              lat_u32 verdict, lat_u64 now) {
  struct lat_denied fresh = {};
  lat_u64 now_ns = bpf_ktime_get_ns();
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
  long error = bpf_map_update_elem(&denied, key, &fresh, BPF_NOEXIST);
  struct lat_denied* entry = error && error != -17 /* EEXIST */ ? 0 : bpf_map_lookup_elem(&denied, key);
  if (entry && error) {
    lat_denied_count(entry, packet, judgement, verdict, now);
  } else if (entry) {
    lat_record_denied(key, entry, now, now_ns);
  } else {
    lat_count(LAT_COUNT_DENIED_TABLE_FULL);
    lat_count_map_error(LAT_MAP_DENIED, error);
  }
}

/* Answers the packet's verdict: LAT_DENY, or LAT_AUDIT in audit mode. */
LAT_FUNCTION int lat_deny(struct __sk_buff* skb, const struct lat_packet* packet,
                          const struct lat_judgement* judgement) {
  if (!packet || !judgement) return LAT_DENY;
  lat_u32 verdict = *(volatile lat_u32*)&lat_info.mode == LAT_MODE_AUDIT ? LAT_AUDIT : LAT_DENY;
  lat_u64 now = bpf_jiffies64();
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
