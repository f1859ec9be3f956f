/* The verdict all four hooks share.
 *
 * lat_hook() is the hot path: a plain TCP or UDP packet of a flow whose entry
 * permits it costs one lookup and two atomic adds. Anything that is not plain
 * goes to lat_verdict(), which says the same of a plain packet, only slower. */
#ifndef BPF_VERDICT_H_
#define BPF_VERDICT_H_

#include "denied.h"
#include "flow.h"
#include "fragment.h"
#include "icmp.h"
#include "maps.h"
#include "packet.h"
#include "parse.h"
#include "policy.h"
#include "quick.h"
#include "stats.h"

/* An ICMP error passes where packets of the flow it quotes do in its direction.
 * It is counted on that flow and does not keep it alive. */
LAT_FUNCTION int lat_icmp_error_passes(struct __sk_buff* skb, const struct lat_packet* packet) {
  if (!packet) return 0;
  lat_u32 direction = packet->direction & 1;
  struct lat_packet quoted = {.is_v6 = packet->is_v6, .direction = direction};
  if (!lat_icmp_quote(skb, packet, &quoted.key)) return 0;
  struct lat_flow* flow = lat_flow_find(&quoted.key, packet->is_v6);
  if (!flow || flow->flags & LAT_FLOW_VACANT || lat_flow_over(flow, 0, bpf_jiffies64(), 0)) return 0;
  if (flow->generation != *(volatile lat_u32*)&lat_info.generation) {
    struct lat_judgement judgement = {};
    if (!lat_flow_rejudge(&quoted, flow, &judgement)) return 0;
    if (flow->flags & LAT_FLOW_NO_REPLY && flow->generation != judgement.generation) return 0;
  }
  if (flow->verdict[direction] != LAT_ALLOW) return 0;
  lat_flow_count(flow, direction, packet->bytes, packet->wire);
  return 1;
}

/* Of a parsed packet. Answers enum lat_verdict. */
LAT_FUNCTION int lat_verdict(struct __sk_buff* skb, struct lat_packet* packet) {
  if (!packet) return LAT_DENY;
  struct lat_judgement judgement = {.verdict = LAT_DENY, .reason = packet->reason};
  lat_u8 kind = packet->kind;
  /* Such an address on the wire would be judged as IPv6 and recorded as IPv4. */
  if (packet->is_v6 && (lat_is_mapped(packet->key.local) || lat_is_mapped(packet->key.remote)))
    judgement.reason = LAT_REASON_MALFORMED;
  if (kind == LAT_PACKET_LATER_FRAGMENT && judgement.reason == LAT_REASON_NONE)
    judgement.reason = lat_fragment_find(packet);
  if (judgement.reason != LAT_REASON_NONE) {
    judgement.generation = lat_info.generation;
    return lat_deny(skb, packet, &judgement);
  }
  if (kind == LAT_PACKET_NEIGHBOUR) {
    lat_count_reason(packet->key.scope, packet->direction, LAT_REASON_NEIGHBOUR);
    return LAT_ALLOW;
  }
  if (kind == LAT_PACKET_ICMP_ERROR && lat_icmp_error_passes(skb, packet)) return LAT_ALLOW;

  struct lat_flow* flow = packet->missed ? 0 : lat_flow_find(&packet->key, packet->is_v6);
  if (flow) {
    lat_flow_join(skb, packet, flow, &judgement);
  } else if (kind != LAT_PACKET_LATER_FRAGMENT) {
    lat_flow_judge(packet, &judgement);
    lat_flow_start(skb, packet, &judgement);
  } else if (packet->untracked) {
    lat_flow_untracked(packet);
    return LAT_ALLOW;
  } else {
    judgement.reason = LAT_REASON_FRAGMENT_UNKNOWN;
  }
  if (judgement.verdict != LAT_ALLOW) return lat_deny(skb, packet, &judgement);
  if (kind == LAT_PACKET_FIRST_FRAGMENT) lat_fragment_learn(packet, judgement.generation);
  return LAT_ALLOW;
}

/* The verdict of a packet at a hook; `scope` and `direction` are constants. */
static __always_inline lat_u32 lat_hook(struct __sk_buff* skb, const lat_u32 scope, const lat_u32 direction) {
  struct lat_packet packet;
  struct lat_flow4_key key4;
  struct lat_quick quick = {};
  struct lat_flow* flow = 0;
  lat_u32 family = 0;
  lat_u64 now = bpf_jiffies64();
  if (scope == LAT_SCOPE_CGROUP && lat_config.loopback_allow && skb->ifindex == 1 /* lo, in every namespace */) {
    lat_count_reason(scope, direction, LAT_REASON_LOOPBACK);
    lat_count_hook(scope, direction, LAT_ALLOW, skb->len, 1);
    return LAT_ALLOW;
  }

  if (lat_quick4(skb, scope, direction, &key4, &quick)) {
    family = 4;
    flow = bpf_map_lookup_elem(&flows4, &key4);
    LAT_APART(4);
  } else if (lat_quick6(skb, scope, direction, &packet.key, &quick)) {
    family = 6;
    flow = bpf_map_lookup_elem(&flows6, &packet.key);
    LAT_APART(6);
  }
  if (flow && lat_flow_is_plain(flow, direction, quick.tcp_flags, now)) {
    /* The atomic adds last: nothing of ours waits for them. */
    flow->last_seen_jiffies = now;
    lat_count_hook(scope, direction, LAT_ALLOW, quick.bytes, quick.wire);
    lat_flow_count(flow, direction, quick.bytes, quick.wire);
    return LAT_ALLOW;
  }

  lat_packet_clear(&packet, direction);
  if (family == 0) {
    __builtin_memset(&packet.key, 0, sizeof(packet.key));
    packet.key.scope = scope;
    lat_parse(skb, &packet);
  } else {
    if (family == 4) lat_key6_from4(&packet.key, &key4);
    packet.is_v6 = family == 6;
    packet.missed = !flow;
    lat_packet_from_quick(&packet, &quick);
  }
  lat_u32 verdict = lat_verdict(skb, &packet);
  lat_count_hook(scope, direction, verdict, packet.bytes, packet.wire);
  return verdict;
}

#endif /* BPF_VERDICT_H_ */
