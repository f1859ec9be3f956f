/* Flow entries. An entry caches the policy's answer under a generation, counts
 * both directions, and lives as long as its flow.
 *
 * Counters are atomic adds and never need a lock. Everything else in an entry
 * changes only under its claim (enum lat_claim); who does not get the claim judges
 * its packet without changing the entry. The end record takes the counters out
 * by exchange, so a packet that another CPU counts at that moment is counted
 * once, in the record or in what comes after it.
 *
 * Entries are deleted by the sweep only, a margin after packets take them for over:
 * whoever saw one alive has counted its packet by then. A packet that finds an entry
 * in the moment of its deletion passes untracked, which a loss record tells. A flow
 * that begins where an old one has ended reuses the entry in place. */
#ifndef BPF_FLOW_H_
#define BPF_FLOW_H_

#include "audited.h"
#include "maps.h"
#include "packet.h"
#include "policy.h"
#include "record.h"
#include "stats.h"

/* Keys are copied: kernel 6.1 takes none from memory that a caller passed in. */
static __always_inline struct lat_flow* lat_flow_find(const struct lat_flow6_key* key, lat_u8 is_v6) {
  if (is_v6) {
    struct lat_flow6_key key6 = *key;
    return bpf_map_lookup_elem(&flows6, &key6);
  }
  struct lat_flow4_key key4;
  lat_key4_from6(&key4, key);
  return bpf_map_lookup_elem(&flows4, &key4);
}

/* Answers LAT_CLAIM_NONE, or who has the claim already. */
static __always_inline enum lat_claim lat_flow_claim(struct lat_flow* flow, enum lat_claim as) {
  return __sync_val_compare_and_swap(&flow->ended, LAT_CLAIM_NONE, as);
}

static __always_inline void lat_flow_release(struct lat_flow* flow) {
  __sync_lock_test_and_set(&flow->ended, LAT_CLAIM_NONE);
}

/* RST either way, or FIN both ways. */
static __always_inline enum lat_end_reason lat_flow_closed(const struct lat_flow* flow) {
  lat_u32 out = flow->tcp_flags[LAT_EGRESS], in = flow->tcp_flags[LAT_INGRESS];
  if ((out | in) & LAT_TCP_RST) return LAT_END_RST;
  return out & in & LAT_TCP_FIN ? LAT_END_FIN : LAT_END_NONE;
}

/* What the hot path may take from the cache without a further question. */
static __always_inline int lat_flow_is_plain(const struct lat_flow* flow, lat_u32 direction, lat_u8 tcp_flags,
                                             lat_u64 now) {
  return flow->generation == *(volatile lat_u32*)&lat_info.generation && flow->verdict[direction] == LAT_ALLOW &&
         !flow->ended && (__s64)(now - flow->last_seen_jiffies) <= (__s64)lat_config.idle_jiffies &&
         !(tcp_flags & (LAT_TCP_SYN | (lat_u8)~flow->tcp_flags[direction])) && !lat_flow_closed(flow);
}

static __always_inline void lat_flow_count(struct lat_flow* flow, lat_u32 direction, lat_u32 bytes, lat_u32 wire) {
  __sync_fetch_and_add(&flow->packets[direction], 1);
  __sync_fetch_and_add(&flow->bytes[direction], bytes);
  if (wire > 1) __sync_fetch_and_add(&flow->gso_extra[direction], wire - 1);
}

/* A packet that passes and that no entry counts. */
static __always_inline void lat_flow_untracked(const struct lat_packet* packet) {
  lat_count_many(LAT_COUNT_UNTRACKED_PACKETS, packet->wire);
  lat_count_many(LAT_COUNT_UNTRACKED_BYTES, packet->bytes);
  lat_count_reason(packet->key.scope, packet->direction, LAT_REASON_UNTRACKED);
}

static __always_inline void lat_flow_take_packet(struct lat_flow* flow, const struct lat_packet* packet, lat_u64 now) {
  lat_u32 direction = packet->direction & 1;
  lat_u32 tcp_flags = packet->tcp_flags;
  if (flow->ended == LAT_CLAIM_DYING) {
    lat_flow_untracked(packet);
    return;
  }
  /* What comes after the close does not keep the entry alive. */
  if (!lat_flow_closed(flow)) flow->last_seen_jiffies = now;
  lat_flow_count(flow, direction, packet->bytes, packet->wire);
  if (tcp_flags & ~flow->tcp_flags[direction]) __sync_fetch_and_or(&flow->tcp_flags[direction], tcp_flags);
}

/* Why the flow is over for a packet with `tcp_flags`, or LAT_END_NONE. `margin`: 0 for
 * packets, lat_config.margin_jiffies for the sweep. */
static __always_inline enum lat_end_reason lat_flow_over(const struct lat_flow* flow, lat_u32 tcp_flags, lat_u64 now,
                                                         lat_u64 margin) {
  __s64 idle = now - flow->last_seen_jiffies;
  lat_u32 opening = lat_tcp_opens(tcp_flags);
  enum lat_end_reason closed = lat_flow_closed(flow);
  if (closed && (opening || idle > (__s64)(lat_config.linger_jiffies + margin))) return closed;
  lat_u32 established = flow->tcp_flags[LAT_EGRESS] & flow->tcp_flags[LAT_INGRESS] & LAT_TCP_SYN;
  lat_u64 limit = lat_config.idle_jiffies;
  if (established && lat_config.tcp_idle_jiffies > limit) limit = lat_config.tcp_idle_jiffies;
  return idle > (__s64)(limit + margin) ? LAT_END_IDLE : LAT_END_NONE;
}

/* Makes *flow the flow that `packet` begins: all but the counters, and the generation, which makes the rest valid. */
static __always_inline void lat_flow_begin(struct __sk_buff* skb, struct lat_flow* flow,
                                           const struct lat_packet* packet, const struct lat_judgement* judgement,
                                           lat_u32 no_reply, lat_u64 now, lat_u64 now_ns) {
  /* Constant indexes: *flow may be on the stack. */
  lat_u32 egress = packet->direction == LAT_EGRESS, other = no_reply ? LAT_DENY : LAT_ALLOW;
  flow->start_ns = now_ns;
  flow->last_seen_jiffies = now;
  flow->last_report_jiffies = now;
  flow->cgroup_id = bpf_skb_cgroup_id(skb);
  flow->rule = judgement->rule;
  flow->verdict[LAT_EGRESS] = egress ? LAT_ALLOW : other;
  flow->verdict[LAT_INGRESS] = egress ? other : LAT_ALLOW;
  flow->reason = judgement->reason;
  flow->started_by = egress ? LAT_EGRESS : LAT_INGRESS;
  flow->tcp_flags[LAT_EGRESS] = egress ? packet->tcp_flags : 0;
  flow->tcp_flags[LAT_INGRESS] = egress ? 0 : packet->tcp_flags;
  flow->flags = no_reply ? LAT_FLOW_NO_REPLY : 0;
}

static __always_inline void lat_flow_begun(const struct lat_packet* packet, const struct lat_judgement* judgement) {
  lat_count_at(packet->key.scope, LAT_COUNT_FLOWS_STARTED);
  lat_count_rule(judgement->rule);
}

/* An entry without a flow. The caller holds the claim. */
static __always_inline void lat_flow_vacate(struct lat_flow* flow, lat_u32 no_reply) {
  flow->verdict[LAT_EGRESS] = LAT_DENY;
  flow->verdict[LAT_INGRESS] = LAT_DENY;
  flow->flags = LAT_FLOW_VACANT | (no_reply ? LAT_FLOW_NO_REPLY : 0);
}

static __noinline int lat_flow_insert(const struct lat_packet* packet, const struct lat_flow* fresh) {
  int error;
  if (packet->is_v6) {
    struct lat_flow6_key key6 = packet->key;
    error = bpf_map_update_elem(&flows6, &key6, fresh, BPF_NOEXIST);
  } else {
    struct lat_flow4_key key4;
    lat_key4_from6(&key4, &packet->key);
    error = bpf_map_update_elem(&flows4, &key4, fresh, BPF_NOEXIST);
  }
  if (error) lat_count_map_error(packet->is_v6 ? LAT_MAP_FLOWS6 : LAT_MAP_FLOWS4, error);
  return error;
}

/* No room for the flow: what --on-table-full says; any other error denies. */
static __always_inline void lat_flow_refused(struct lat_packet* packet, struct lat_judgement* judgement, int error) {
  if (error != -7 /* E2BIG */) {
    judgement->verdict = LAT_DENY;
    judgement->reason = LAT_REASON_INTERNAL;
    return;
  }
  lat_count(LAT_COUNT_FLOW_TABLE_FULL);
  if (lat_config.table_full_allow) {
    lat_flow_untracked(packet);
    lat_count_rule(judgement->rule);
    packet->untracked = 1;
    return;
  }
  judgement->verdict = LAT_DENY;
  judgement->reason = LAT_REASON_FLOW_TABLE_FULL;
  judgement->rule = 0;
}

/* A packet that has no entry and that the policy has judged. */
LAT_FUNCTION int lat_flow_start(struct __sk_buff* skb, struct lat_packet* packet, struct lat_judgement* judgement) {
  if (!packet || !judgement) return 0;
  if (judgement->verdict != LAT_ALLOW) return 0;
  lat_u64 now = bpf_jiffies64(), now_ns = bpf_ktime_get_ns();
  struct lat_flow fresh = {};
  struct lat_record* record = bpf_ringbuf_reserve(&flow_ring, sizeof(*record), 0);
  lat_flow_begin(skb, &fresh, packet, judgement, !packet->begins, now, now_ns);
  fresh.generation = judgement->generation;
  lat_u32 egress = packet->direction == LAT_EGRESS;
  fresh.packets[LAT_EGRESS] = egress;
  fresh.packets[LAT_INGRESS] = !egress;
  fresh.bytes[LAT_EGRESS] = egress ? packet->bytes : 0;
  fresh.bytes[LAT_INGRESS] = egress ? 0 : packet->bytes;
  fresh.gso_extra[LAT_EGRESS] = egress ? packet->wire - 1 : 0;
  fresh.gso_extra[LAT_INGRESS] = egress ? 0 : packet->wire - 1;
  int error;
  if (record) {
    fresh.flags |= LAT_FLOW_REPORTED;
    error = lat_flow_insert(packet, &fresh);
    lat_record_flow(record, &packet->key, &fresh, now, now_ns);
    lat_record_totals(record, &fresh);
    record->event = LAT_EVENT_START;
    if (error) {
      bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
    } else {
      bpf_ringbuf_submit(record, 0);
    }
  } else {
    error = lat_flow_insert(packet, &fresh);
    lat_count(LAT_COUNT_FLOW_RING_FULL);
  }
  if (!error) {
    lat_flow_begun(packet, judgement);
    return 0;
  }
  /* EEXIST: another CPU was first. */
  struct lat_flow* flow = error == -17 ? lat_flow_find(&packet->key, packet->is_v6) : 0;
  if (flow) {
    lat_flow_take_packet(flow, packet, now);
  } else {
    lat_flow_refused(packet, judgement, error);
  }
  return 0;
}

/* What the policy has to say of a packet that no living flow covers. */
LAT_FUNCTION int lat_flow_judge(const struct lat_packet* packet, struct lat_judgement* judgement) {
  if (!packet || !judgement) return 0;
  lat_policy_judge(packet, packet->direction, judgement);
  if (lat_is_audited_answer(packet)) {
    judgement->verdict = LAT_DENY;
    judgement->reason = LAT_REASON_REPLY;
    judgement->rule = 0;
  }
  return 0;
}

/* A packet that finds an entry without a living flow: `ended` says why the one
 * in it is over, or it is vacant. */
LAT_FUNCTION int lat_flow_restart(struct __sk_buff* skb, struct lat_packet* packet, struct lat_flow* flow,
                                  lat_u32 ended, struct lat_judgement* judgement) {
  if (!packet || !flow || !judgement) return 0;
  lat_u64 now = bpf_jiffies64(), now_ns = bpf_ktime_get_ns();
  lat_flow_judge(packet, judgement);
  lat_u32 allowed = judgement->verdict == LAT_ALLOW;
  if (lat_flow_claim(flow, LAT_CLAIM_HELD)) {
    if (allowed) lat_flow_take_packet(flow, packet, now);
    return 0;
  }
  if (lat_flow_find(&packet->key, packet->is_v6) != flow) {
    /* Deleted since, and its memory is another flow's. */
    lat_flow_release(flow);
    if (allowed) lat_flow_untracked(packet);
    return 0;
  }
  lat_u32 flags = flow->flags;
  if (!(flags & LAT_FLOW_VACANT) && !lat_record_end(&packet->key, flow, ended, now, now_ns)) {
    /* No room for its end record: the packet joins it. */
    if (allowed) lat_flow_take_packet(flow, packet, now);
    lat_flow_release(flow);
    return 0;
  }
  if (allowed) {
    /* Who was refused may be answered only after asking again by a new connection. */
    lat_u32 remembers = (flags & LAT_FLOW_VACANT) && (flags & LAT_FLOW_NO_REPLY) && !ended;
    lat_u32 opens = packet->direction == LAT_EGRESS || (packet->key.proto == 6 && packet->begins);
    lat_flow_begin(skb, flow, packet, judgement, !packet->begins || (remembers && !opens), now, now_ns);
    __sync_lock_test_and_set(&flow->generation, judgement->generation);
    lat_flow_begun(packet, judgement);
    lat_flow_take_packet(flow, packet, now);
    lat_record_progress(&packet->key, flow, LAT_EVENT_START, now, now_ns);
  } else {
    lat_flow_vacate(flow, !ended && flags & LAT_FLOW_NO_REPLY);
  }
  lat_flow_release(flow);
  return 0;
}

/* The policy has changed since the entry's answer: the flow is judged again as
 * if it began now. Answers whether it stays. */
LAT_FUNCTION int lat_flow_rejudge(struct lat_packet* packet, struct lat_flow* flow, struct lat_judgement* judgement) {
  if (!packet || !flow || !judgement) return 0;
  lat_u64 now = bpf_jiffies64();
  lat_u32 started = flow->started_by & 1;
  lat_policy_judge(packet, started, judgement);
  lat_u32 stays = judgement->verdict == LAT_ALLOW;
  if (lat_flow_claim(flow, LAT_CLAIM_HELD)) return stays;
  if (!(flow->flags & LAT_FLOW_VACANT) && flow->generation != judgement->generation) {
    if (stays) {
      flow->verdict[started] = LAT_ALLOW;
      flow->verdict[!started] = flow->flags & LAT_FLOW_NO_REPLY ? LAT_DENY : LAT_ALLOW;
      flow->reason = judgement->reason;
      flow->rule = judgement->rule;
    } else if (lat_record_end(&packet->key, flow, LAT_END_REVOKED, now, bpf_ktime_get_ns())) {
      flow->last_seen_jiffies = now;
      lat_flow_vacate(flow, 1);
    } else {
      flow->verdict[LAT_EGRESS] = LAT_DENY;
      flow->verdict[LAT_INGRESS] = LAT_DENY;
      flow->flags |= LAT_FLOW_REVOKED | LAT_FLOW_NO_REPLY;
    }
    __sync_lock_test_and_set(&flow->generation, judgement->generation);
  }
  lat_flow_release(flow);
  return stays;
}

/* A packet of a living flow whose direction has no cached permit. */
static __always_inline void lat_flow_ask(const struct lat_packet* packet, struct lat_flow* flow, lat_u32 opens,
                                         struct lat_judgement* judgement) {
  lat_u32 direction = packet->direction & 1;
  lat_policy_judge(packet, direction, judgement);
  if (judgement->verdict != LAT_ALLOW || lat_flow_claim(flow, LAT_CLAIM_HELD)) return;
  if (flow->generation == judgement->generation && !(flow->flags & LAT_FLOW_VACANT)) {
    flow->verdict[direction] = LAT_ALLOW;
    if (opens) {
      flow->flags &= ~LAT_FLOW_NO_REPLY;
      flow->verdict[LAT_EGRESS] = LAT_ALLOW;
    }
  }
  lat_flow_release(flow);
}

/* A packet that finds an entry. */
LAT_FUNCTION int lat_flow_join(struct __sk_buff* skb, struct lat_packet* packet, struct lat_flow* flow,
                               struct lat_judgement* judgement) {
  if (!packet || !flow || !judgement) return 0;
  lat_u64 now = bpf_jiffies64();
  lat_u32 direction = packet->direction & 1, started = flow->started_by & 1, stays = 1, stale = 0;
  lat_u32 ended = lat_flow_over(flow, packet->tcp_flags, now, 0);
  if (!ended && !(flow->flags & LAT_FLOW_VACANT) && flow->generation != *(volatile lat_u32*)&lat_info.generation) {
    stays = lat_flow_rejudge(packet, flow, judgement);
    if (!stays && started == direction) return 0;
    /* Another CPU has the claim: the entry still says what the policy before allowed. */
    stale = flow->generation != judgement->generation;
  }
  if (ended || flow->flags & LAT_FLOW_VACANT) {
    judgement->verdict = LAT_DENY;
    judgement->reason = LAT_REASON_FRAGMENT_UNKNOWN;
    if (packet->kind == LAT_PACKET_LATER_FRAGMENT) return 0;
    return lat_flow_restart(skb, packet, flow, ended, judgement);
  }
  /* A connection opened from outside, where the entry gave no right to answer. */
  lat_u32 no_reply = flow->flags & LAT_FLOW_NO_REPLY;
  lat_u32 opens = direction == LAT_INGRESS && packet->key.proto == 6 && packet->begins && no_reply &&
                  !(flow->flags & LAT_FLOW_REVOKED) /* its end is not told yet */;
  /* The right to answer is none to begin a connection of one's own. */
  lat_u32 begins = direction != started && packet->key.proto == 6 && lat_tcp_opens(packet->tcp_flags);
  judgement->verdict = LAT_ALLOW;
  if (!stays || opens || begins || (stale && no_reply) || flow->verdict[direction] != LAT_ALLOW)
    lat_flow_ask(packet, flow, opens, judgement);
  if (judgement->verdict == LAT_ALLOW) lat_flow_take_packet(flow, packet, now);
  return 0;
}

#endif /* BPF_FLOW_H_ */
