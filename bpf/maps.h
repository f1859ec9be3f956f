/* Every map of the data plane. Userspace sets max_entries of flows4, flows6,
 * denied, fragments and the rings before load, and pins all of them. */
#ifndef BPF_MAPS_H_
#define BPF_MAPS_H_

#include <lattice/abi.h>
#include <lattice/policy.h>
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* A function that the verifier proves once, by itself, for any arguments. Weak,
 * so that the compiler infers nothing from the body that the verifier cannot see
 * at the call. */
#define LAT_FUNCTION __weak __noinline

/* For loops that the compiler would lay out so that their last instruction falls into
 * their first: the verifier of kernel 6.1 takes only a jump for the end of a round. */
#define LAT_UNROLL _Pragma("clang loop unroll(full)")

/* Keeps the compiler from merging two calls that differ in their map only: such a
 * call would not be inlined. */
#define LAT_APART(number) asm volatile("" ::"i"(number))

/* Live flows by compact key: an IPv4 key is two words, which is what makes an
 * established packet cheap. Preallocated: a packet never allocates. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, struct lat_flow4_key);
  __type(value, struct lat_flow);
} flows4 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __type(key, struct lat_flow6_key);
  __type(value, struct lat_flow);
} flows6 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __type(key, struct lat_denied_key);
  __type(value, struct lat_denied);
} denied SEC(".maps");

/* May forget the oldest under pressure: an answer is then taken for a question. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 16384);
  __type(key, struct lat_flow6_key);
  __type(value, struct lat_audited);
} audited SEC(".maps");

/* May forget the oldest under pressure: a forgotten datagram is denied. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 4096);
  __type(key, struct lat_fragment_key);
  __type(value, struct lat_fragment);
} fragments SEC(".maps");

/* The policy of generation G is in slot G & 1 of these four. An array's value is one
 * block of the word table. The first block is apart: the verifier inlines the lookup in
 * an inner array of fixed size, and a small policy needs no other. */
struct lat_policy_words {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE);
  __uint(key_size, sizeof(lat_u32));
  __uint(value_size, LAT_BLOCK_BYTES);
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, lat_u32);
  __array(values, struct lat_policy_words);
} policy SEC(".maps");

/* Block B + 1 is entry B; inner maps differ in max_entries. */
struct lat_policy_more {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
  __uint(key_size, sizeof(lat_u32));
  __uint(value_size, LAT_BLOCK_BYTES);
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, lat_u32);
  __array(values, struct lat_policy_more);
} policy_more SEC(".maps");

struct lat_policy_lpm4 {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(key_size, sizeof(struct lat_lpm4_key));
  __uint(value_size, sizeof(lat_u32));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, lat_u32);
  __array(values, struct lat_policy_lpm4);
} lpm4 SEC(".maps");

struct lat_policy_lpm6 {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(max_entries, 1);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(key_size, sizeof(struct lat_lpm6_key));
  __uint(value_size, sizeof(lat_u32));
};

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, lat_u32);
  __array(values, struct lat_policy_lpm6);
} lpm6 SEC(".maps");

/* Written by userspace, for operators and for bpftool. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, LAT_RULE_SLOTS);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, lat_u32);
  __type(value, struct lat_rule_text);
} rules SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, LAT_RULE_SLOTS);
  __uint(map_flags, BPF_F_MMAPABLE);
  __type(key, lat_u32);
  __type(value, lat_u64);
} rule_hits SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LAT_HOOK_COUNT);
  __type(key, lat_u32);
  __type(value, struct lat_hook_stats);
} hook_stats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LAT_HOOK_COUNT* LAT_REASON_COUNT);
  __type(key, lat_u32);
  __type(value, lat_u64);
} reason_stats SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LAT_COUNT_COUNT);
  __type(key, lat_u32);
  __type(value, lat_u64);
} events SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, LAT_MAP_COUNT* LAT_ERRNO_COUNT);
  __type(key, lat_u32);
  __type(value, lat_u64);
} map_errors SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 8 << 20);
} flow_ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} denied_ring SEC(".maps");

/* Set before load; the verifier folds them as constants. */
const volatile struct lat_config lat_config = {
    .ns_per_jiffy = 4000000, /* HZ=250, until userspace says what it measured */
    .idle_jiffies = 60 * 250,
    .tcp_idle_jiffies = 3600 * 250,
    .linger_jiffies = 10 * 250,
    .active_jiffies = 60 * 250,
    .denied_jiffies = 10 * 250,
    .fragment_jiffies = 30 * 250,
    .margin_jiffies = 250,
};

struct lat_info lat_info SEC(".data.info") = {.abi_version = LATTICE_ABI_VERSION};

#endif /* BPF_MAPS_H_ */
