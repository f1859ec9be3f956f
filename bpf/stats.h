/* Counters. Those of the hot path are plain adds at the tc hooks, which run with
 * softirqs disabled; the cgroup hooks run in tasks that may be preempted, so
 * there, and in everything shared by hooks, adds are atomic. */
#ifndef BPF_STATS_H_
#define BPF_STATS_H_

#include "maps.h"

static __always_inline void lat_count_hook(lat_u32 scope, lat_u32 direction, lat_u32 verdict, lat_u32 bytes,
                                           lat_u32 wire) {
  lat_u32 hook = scope * 2 + direction;
  struct lat_hook_stats* stats = bpf_map_lookup_elem(&hook_stats, &hook);
  if (!stats || verdict >= LAT_VERDICT_COUNT) return;
  struct lat_counters* counters = &stats->verdict[verdict];
  if (scope == LAT_SCOPE_IFACE) {
    counters->packets += 1;
    counters->wire_packets += wire;
    counters->bytes += bytes;
  } else {
    __sync_fetch_and_add(&counters->packets, 1);
    __sync_fetch_and_add(&counters->wire_packets, wire);
    __sync_fetch_and_add(&counters->bytes, bytes);
  }
}

static __always_inline void lat_count_reason(lat_u32 scope, lat_u32 direction, lat_u32 reason) {
  lat_u32 index = (scope * 2 + direction) * LAT_REASON_COUNT + reason;
  lat_u64* count = bpf_map_lookup_elem(&reason_stats, &index);
  if (count) __sync_fetch_and_add(count, 1);
}

static __always_inline void lat_count_many(lat_u32 counter, lat_u64 n) {
  lat_u64* count = bpf_map_lookup_elem(&events, &counter);
  if (count) __sync_fetch_and_add(count, n);
}

static __always_inline void lat_count(lat_u32 counter) {
  lat_count_many(counter, 1);
}

/* The same, cheaper where the hook of `scope` allows it. */
static __always_inline void lat_count_at(lat_u32 scope, lat_u32 counter) {
  lat_u64* count = bpf_map_lookup_elem(&events, &counter);
  if (!count) return;
  if (scope == LAT_SCOPE_IFACE) {
    *count += 1;
  } else {
    __sync_fetch_and_add(count, 1);
  }
}

/* `error` is what bpf_map_update_elem returned, as an int: before kernel 6.4 only the low
 * half of its result is defined. */
static __always_inline void lat_count_map_error(lat_u32 map, int error) {
  lat_u32 class = LAT_ERRNO_OTHER;
  if (error == -7) class = LAT_ERRNO_E2BIG;
  if (error == -12) class = LAT_ERRNO_ENOMEM;
  if (error == -16) class = LAT_ERRNO_EBUSY;
  if (error == -17) class = LAT_ERRNO_EEXIST;
  lat_u32 index = map * LAT_ERRNO_COUNT + class;
  lat_u64* count = bpf_map_lookup_elem(&map_errors, &index);
  if (count) __sync_fetch_and_add(count, 1);
}

/* Allow rules count flows, deny rules count packets. `rule` is slot + 1. */
static __always_inline void lat_count_rule(lat_u32 rule) {
  if (rule == 0) return;
  lat_u32 slot = rule - 1;
  lat_u64* hits = bpf_map_lookup_elem(&rule_hits, &slot);
  if (hits) __sync_fetch_and_add(hits, 1);
}

#endif /* BPF_STATS_H_ */
