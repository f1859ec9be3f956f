/* The kernel's LPM tries with the prefixes of the policy, and the same programs
 * without the lookup. */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "../bench/addresses.h"

char LICENSE[] SEC("license") = "GPL";

struct lpm4_key {
  __u32 prefixlen;
  __u8 address[4];
};
struct lpm6_key {
  __u32 prefixlen;
  __u8 address[16];
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1 << 20);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct lpm4_key);
  __type(value, __u32);
} trie4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1 << 20);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct lpm6_key);
  __type(value, __u32);
} trie6 SEC(".maps");

struct bench_addresses addresses;
__u32 sink;

SEC("tc")
int no_lookup4(struct __sk_buff* skb) {
  sink = *(__u32*)addresses.v4[addresses.next++ % BENCH_ADDRESSES];
  return -1;
}

SEC("tc")
int no_lookup6(struct __sk_buff* skb) {
  const __u64* address = (const __u64*)addresses.v6[addresses.next++ % BENCH_ADDRESSES];
  sink = address[0] ^ address[1];
  return -1;
}

SEC("tc")
int lookup4(struct __sk_buff* skb) {
  struct lpm4_key key = {.prefixlen = 32};
  __builtin_memcpy(key.address, addresses.v4[addresses.next++ % BENCH_ADDRESSES], 4);
  const __u32* value = bpf_map_lookup_elem(&trie4, &key);
  sink = value ? *value : 0;
  return -1;
}

SEC("tc")
int lookup6(struct __sk_buff* skb) {
  struct lpm6_key key = {.prefixlen = 128};
  __builtin_memcpy(key.address, addresses.v6[addresses.next++ % BENCH_ADDRESSES], 16);
  const __u32* value = bpf_map_lookup_elem(&trie6, &key);
  sink = value ? *value : 0;
  return -1;
}
