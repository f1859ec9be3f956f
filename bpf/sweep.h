/* The sweep over the tables: writes every record that is due and deletes what
 * has ended. It stops at the first record that finds its ring full. */
#ifndef BPF_SWEEP_H_
#define BPF_SWEEP_H_

#include "flow.h"
#include "maps.h"
#include "record.h"

enum lat_sweep_answer { LAT_SWEEP_KEEP = 0, LAT_SWEEP_DELETE, LAT_SWEEP_FULL };

/* Whether the entry is to be deleted. */
static __always_inline int lat_sweep_goes(const struct lat_flow* flow, const struct lat_sweep* sweep) {
  if (sweep->end_all) return 1;
  if (!(flow->flags & LAT_FLOW_VACANT)) return lat_flow_over(flow, 0, sweep->now_jiffies, lat_config.margin_jiffies);
  __s64 idle = sweep->now_jiffies - flow->last_seen_jiffies;
  return idle > (__s64)(lat_config.idle_jiffies + lat_config.margin_jiffies);
}

/* What packets counted on an entry that they lost the race for, while another CPU vacated it. */
static __always_inline void lat_sweep_untold(const struct lat_flow* flow) {
  lat_u64 packets = flow->packets[0] + flow->packets[1] + flow->gso_extra[0] + flow->gso_extra[1];
  if (packets == 0) return;
  lat_count_many(LAT_COUNT_UNTRACKED_PACKETS, packets);
  lat_count_many(LAT_COUNT_UNTRACKED_BYTES, flow->bytes[0] + flow->bytes[1]);
}

/* Under the claim, which is LAT_CLAIM_DYING if the entry `goes`. */
static __always_inline int lat_sweep_claimed(const struct lat_flow6_key* key, struct lat_flow* flow, lat_u32 goes,
                                             struct lat_sweep* sweep) {
  lat_u64 now = sweep->now_jiffies, now_ns = sweep->now_ns;
  if (goes && !lat_sweep_goes(flow, sweep)) return LAT_SWEEP_KEEP; /* begun again before the claim */
  lat_u32 flags = flow->flags;
  if (!(flags & LAT_FLOW_VACANT) && (goes || flags & LAT_FLOW_REVOKED)) {
    enum lat_end_reason reason = lat_flow_over(flow, 0, now, lat_config.margin_jiffies);
    if (!reason) reason = LAT_END_SHUTDOWN;
    if (flags & LAT_FLOW_REVOKED) reason = LAT_END_REVOKED;
    if (!lat_record_end(key, flow, reason, now, now_ns)) return LAT_SWEEP_FULL;
    sweep->ended++;
    if (!goes) lat_flow_vacate(flow, flags & LAT_FLOW_NO_REPLY);
  } else if (goes) {
    lat_sweep_untold(flow);
  } else if (!(flags & LAT_FLOW_VACANT)) {
    enum lat_event event = flags & LAT_FLOW_REPORTED ? LAT_EVENT_UPDATE : LAT_EVENT_START;
    __s64 since = now - flow->last_report_jiffies;
    __s64 news = flow->last_seen_jiffies - flow->last_report_jiffies;
    if (event == LAT_EVENT_UPDATE && (news <= 0 || since < (__s64)lat_config.active_jiffies)) return LAT_SWEEP_KEEP;
    if (!lat_record_progress(key, flow, event, now, now_ns)) return LAT_SWEEP_FULL;
  }
  return goes ? LAT_SWEEP_DELETE : LAT_SWEEP_KEEP;
}

static __always_inline int lat_sweep_one(const struct lat_flow6_key* key, struct lat_flow* flow,
                                         struct lat_sweep* sweep) {
  lat_u32 goes = lat_sweep_goes(flow, sweep);
  if (lat_flow_claim(flow, goes ? LAT_CLAIM_DYING : LAT_CLAIM_HELD)) return LAT_SWEEP_KEEP;
  int answer = lat_sweep_claimed(key, flow, goes, sweep);
  if (answer != LAT_SWEEP_DELETE) lat_flow_release(flow);
  if (answer == LAT_SWEEP_FULL) sweep->more = 1;
  return answer;
}

/* An entry that could not be deleted goes next time. */
static __always_inline void lat_sweep_undeleted(struct lat_flow* flow, lat_u32 map, int error) {
  lat_count_map_error(map, error);
  lat_flow_vacate(flow, flow->flags & LAT_FLOW_NO_REPLY);
  lat_flow_release(flow);
}

static long lat_sweep_flow4(void* map, struct lat_flow4_key* key, struct lat_flow* flow, struct lat_sweep* sweep) {
  struct lat_flow6_key key6;
  lat_key6_from4(&key6, key);
  sweep->flows4++;
  int answer = lat_sweep_one(&key6, flow, sweep);
  int error = answer == LAT_SWEEP_DELETE ? bpf_map_delete_elem(&flows4, key) : 0;
  if (error) lat_sweep_undeleted(flow, LAT_MAP_FLOWS4, error);
  return answer == LAT_SWEEP_FULL;
}

static long lat_sweep_flow6(void* map, struct lat_flow6_key* key, struct lat_flow* flow, struct lat_sweep* sweep) {
  struct lat_flow6_key key6 = *key;
  sweep->flows6++;
  int answer = lat_sweep_one(&key6, flow, sweep);
  int error = answer == LAT_SWEEP_DELETE ? bpf_map_delete_elem(&flows6, key) : 0;
  if (error) lat_sweep_undeleted(flow, LAT_MAP_FLOWS6, error);
  return answer == LAT_SWEEP_FULL;
}

/* Unless a packet came since it was reported. */
static __always_inline void lat_sweep_forget(struct lat_denied_key* key, struct lat_denied* entry) {
  lat_u64 told = entry->reported_packets;
  if (__sync_val_compare_and_swap(&entry->packets, told, told | LAT_DENIED_GONE) != told) return;
  int error = bpf_map_delete_elem(&denied, key);
  if (error) {
    lat_count_map_error(LAT_MAP_DENIED, error);
    __sync_fetch_and_and(&entry->packets, ~LAT_DENIED_GONE);
  }
}

static long lat_sweep_denied(void* map, struct lat_denied_key* key, struct lat_denied* entry, struct lat_sweep* sweep) {
  lat_u64 now = sweep->now_jiffies;
  __s64 since = now - entry->last_report_jiffies, idle = now - entry->last_seen_jiffies;
  __s64 interval = lat_config.denied_jiffies;
  lat_u32 news = entry->packets != entry->reported_packets || entry->wire_packets != entry->reported_wire_packets ||
                 entry->bytes != entry->reported_bytes;
  sweep->denied++;
  lat_u32 due = since >= interval || entry->reported_packets == 0 || sweep->end_all || sweep->flush_denied;
  if (news && due) {
    struct lat_denied_key copy = *key;
    if (!lat_record_denied(&copy, entry, now, sweep->now_ns)) {
      sweep->more = 1;
      return 1;
    }
    news = 0;
  }
  /* Twice the interval: one that goes on is one entry. */
  if (!news && (sweep->end_all || idle > 2 * interval)) lat_sweep_forget(key, entry);
  return 0;
}

#endif /* BPF_SWEEP_H_ */
