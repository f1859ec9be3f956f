/* The packet programs of the data plane and the sweep over its tables.
 *
 * Theory of operation
 * -------------------
 * A packet is parsed to the key of its flow as seen from this node (packet.h,
 * parse.h, quick.h). If the flow table has an entry whose verdict is of the
 * published generation, the entry decides and counts the packet (flow.h).
 * Otherwise the policy of the packet's direction decides (policy.h): an allowed
 * packet begins a flow and gives the other side the right to answer, a denied one
 * goes to the denied table (denied.h). ICMP errors go with the flow they quote
 * (icmp.h), later fragments with the flow of their first one (fragment.h).
 *
 * What cannot be parsed is denied with its own reason, never guessed at; so is
 * everything while no policy is published. Audit mode changes only the last
 * step: what would be dropped passes, with the verdict LAT_AUDIT.
 *
 * A packet program writes a record when a flow starts, when a policy revokes one,
 * when an expired entry is used again and when an attempt is denied for the first
 * time. All others are the sweep's (sweep.h), which also catches up on what a full
 * ring kept from being told: the tables are the truth, the rings only tell it.
 *
 * tc programs see an optional link-layer header (lat_config.l2_bytes), cgroup
 * programs the IP header first. Encapsulated GSO (a tunnel inside the tunnel) is
 * counted by its outer headers only: __sk_buff does not show the inner ones.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "sweep.h"
#include "verdict.h"

char LICENSE[] SEC("license") = "GPL";

/* TCX_NEXT and TC_ACT_UNSPEC are both -1: programs after ours still see the packet. */
#define LAT_TC_PASS (-1)
#define LAT_TC_DROP 2 /* TCX_DROP, TC_ACT_SHOT */
#define LAT_CGROUP_PASS 1
#define LAT_CGROUP_DROP 0

SEC("tc")
int tc_egress(struct __sk_buff* skb) {
  return lat_hook(skb, LAT_SCOPE_IFACE, LAT_EGRESS) == LAT_DENY ? LAT_TC_DROP : LAT_TC_PASS;
}

SEC("tc")
int tc_ingress(struct __sk_buff* skb) {
  return lat_hook(skb, LAT_SCOPE_IFACE, LAT_INGRESS) == LAT_DENY ? LAT_TC_DROP : LAT_TC_PASS;
}

SEC("cgroup_skb/egress")
int cgroup_egress(struct __sk_buff* skb) {
  return lat_hook(skb, LAT_SCOPE_CGROUP, LAT_EGRESS) == LAT_DENY ? LAT_CGROUP_DROP : LAT_CGROUP_PASS;
}

SEC("cgroup_skb/ingress")
int cgroup_ingress(struct __sk_buff* skb) {
  return lat_hook(skb, LAT_SCOPE_CGROUP, LAT_INGRESS) == LAT_DENY ? LAT_CGROUP_DROP : LAT_CGROUP_PASS;
}

SEC("syscall")
int lat_sweep(struct lat_sweep* argument) {
  struct lat_sweep sweep = {
      .end_all = argument->end_all,
      .flush_denied = argument->flush_denied,
      .now_jiffies = bpf_jiffies64(),
      .now_ns = bpf_ktime_get_ns(),
  };
  bpf_for_each_map_elem(&flows4, lat_sweep_flow4, &sweep, 0);
  if (!sweep.more) bpf_for_each_map_elem(&flows6, lat_sweep_flow6, &sweep, 0);
  bpf_for_each_map_elem(&denied, lat_sweep_denied, &sweep, 0);
  *argument = sweep;
  return 0;
}
