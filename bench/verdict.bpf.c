/* Parts of the data plane by themselves, built from its own headers: the address
 * lookup, parse plus policy without a flow table, and the first packet of ever new
 * flows. Shares the maps of the real programs. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../bench/addresses.h"
#include "bpf/verdict.h"

char LICENSE[] SEC("license") = "GPL";

struct bench_addresses addresses;
lat_u32 sink;

static __always_inline lat_u32 leaf_of(lat_u32 is_v6, lat_u64 hi, lat_u64 lo) {
  struct lat_policy_view view = {};
  return lat_policy_open(&view) ? lat_policy_leaf(&view, LAT_EGRESS, is_v6, hi, lo) : 0;
}

SEC("tc")
int lookup4(struct __sk_buff* skb) {
  lat_u32 address = *(lat_u32*)addresses.v4[addresses.next++ % BENCH_ADDRESSES];
  sink = leaf_of(0, 0, 0xffff00000000ull | bpf_ntohl(address));
  return -1;
}

SEC("tc")
int lookup6(struct __sk_buff* skb) {
  const lat_u64* address = (const lat_u64*)addresses.v6[addresses.next++ % BENCH_ADDRESSES];
  sink = leaf_of(1, bpf_be64_to_cpu(address[0]), bpf_be64_to_cpu(address[1]));
  return -1;
}

/* Parse and judge, without the record of which rule it was: that is looked up when a
 * flow starts only. */
SEC("tc")
int verdict4(struct __sk_buff* skb) {
  struct lat_policy_view view = {};
  struct lat_flow4_key key;
  struct lat_quick quick;
  if (!lat_quick4(skb, LAT_SCOPE_IFACE, LAT_EGRESS, &key, &quick) || !lat_policy_open(&view)) return 2;
  lat_u64 lo = 0xffff00000000ull | bpf_ntohl(*(lat_u32*)addresses.v4[addresses.next++ % BENCH_ADDRESSES]);
  sink = lat_policy_decide(&view, lat_policy_leaf(&view, LAT_EGRESS, 0, 0, lo), 0, key.proto, 1, key.remote_port);
  return -1;
}

SEC("tc")
int verdict6(struct __sk_buff* skb) {
  struct lat_policy_view view = {};
  struct lat_flow6_key key;
  struct lat_quick quick;
  if (!lat_quick6(skb, LAT_SCOPE_IFACE, LAT_EGRESS, &key, &quick) || !lat_policy_open(&view)) return 2;
  const lat_u64* remote = (const lat_u64*)addresses.v6[addresses.next++ % BENCH_ADDRESSES];
  lat_u32 leaf = lat_policy_leaf(&view, LAT_EGRESS, 1, bpf_be64_to_cpu(remote[0]), bpf_be64_to_cpu(remote[1]));
  sink = lat_policy_decide(&view, leaf, 1, key.proto, 1, key.remote_port);
  return -1;
}

/* Every run is another flow: the source address counts up in the packet. */
static __always_inline int count_up(struct __sk_buff* skb, lat_u32 offset) {
  lat_u32* word = (void*)(long)skb->data + offset;
  if ((void*)(word + 1) > (void*)(long)skb->data_end) return 0;
  *word += 1;
  return 1;
}

SEC("tc")
int first4(struct __sk_buff* skb) {
  if (!count_up(skb, 14 + 12)) return 2;
  return lat_hook(skb, LAT_SCOPE_IFACE, LAT_EGRESS) == LAT_ALLOW ? -1 : 2;
}

SEC("tc")
int first6(struct __sk_buff* skb) {
  if (!count_up(skb, 14 + 8 + 12)) return 2;
  return lat_hook(skb, LAT_SCOPE_IFACE, LAT_EGRESS) == LAT_ALLOW ? -1 : 2;
}
