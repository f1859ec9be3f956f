/* The sweep over the tables: writes every record that is due and deletes what
 * has ended. It stops at the first record that finds its ring full. */
#ifndef BPF_SWEEP_H_
#define BPF_SWEEP_H_

#include "flow.h"
#include "maps.h"
#include "record.h"

enum lat_sweep_answer { LAT_SWEEP_KEEP = 0, LAT_SWEEP_DELETE, LAT_SWEEP_FULL };

/* Under the claim. */
static __always_inline int lat_sweep_claimed(const struct lat_flow6_key* key, struct lat_flow* flow,
                                             struct lat_sweep* sweep) {
  lat_u64 now = sweep->now_jiffies, now_ns = sweep->now_ns;
  __s64 idle = now - flow->last_seen_jiffies;
  if (flow->flags & LAT_FLOW_VACANT) {
    lat_u32 over = idle > (__s64)(lat_config.idle_jiffies + LAT_MARGIN_JIFFIES);
    return over || sweep->end_all ? LAT_SWEEP_DELETE : LAT_SWEEP_KEEP;
  }
  enum lat_end_reason reason = lat_flow_over(flow, 0, now);
  if (sweep->end_all && !reason) reason = LAT_END_SHUTDOWN;
  if (flow->flags & LAT_FLOW_REVOKED) reason = LAT_END_REVOKED;
  if (reason) {
    if (!lat_record_end(key, flow, reason, now, now_ns)) return LAT_SWEEP_FULL;
    sweep->ended++;
    if (reason != LAT_END_REVOKED) return LAT_SWEEP_DELETE;
    lat_flow_vacate(flow, flow->flags & LAT_FLOW_NO_REPLY);
    return LAT_SWEEP_KEEP;
  }
  enum lat_event event = flow->flags & LAT_FLOW_REPORTED ? LAT_EVENT_UPDATE : LAT_EVENT_START;
  __s64 since = now - flow->last_report_jiffies;
  __s64 news = flow->last_seen_jiffies - flow->last_report_jiffies;
  if (event == LAT_EVENT_UPDATE && (news <= 0 || since < (__s64)lat_config.active_jiffies)) return LAT_SWEEP_KEEP;
  return lat_record_progress(key, flow, event, now, now_ns) ? LAT_SWEEP_KEEP : LAT_SWEEP_FULL;
}

static __always_inline int lat_sweep_one(const struct lat_flow6_key* key, struct lat_flow* flow,
                                         struct lat_sweep* sweep) {
  if (!lat_flow_claim(flow)) return LAT_SWEEP_KEEP;
  int answer = lat_sweep_claimed(key, flow, sweep);
  if (answer != LAT_SWEEP_DELETE) lat_flow_release(flow);
  if (answer == LAT_SWEEP_FULL) sweep->more = 1;
  return answer;
}

static long lat_sweep_flow4(void* map, struct lat_flow4_key* key, struct lat_flow* flow, struct lat_sweep* sweep) {
  struct lat_flow6_key key6;
  lat_key6_from4(&key6, key);
  sweep->flows4++;
  int answer = lat_sweep_one(&key6, flow, sweep);
  if (answer == LAT_SWEEP_DELETE) bpf_map_delete_elem(&flows4, key);
  return answer == LAT_SWEEP_FULL;
}

static long lat_sweep_flow6(void* map, struct lat_flow6_key* key, struct lat_flow* flow, struct lat_sweep* sweep) {
  struct lat_flow6_key key6 = *key;
  sweep->flows6++;
  int answer = lat_sweep_one(&key6, flow, sweep);
  if (answer == LAT_SWEEP_DELETE) bpf_map_delete_elem(&flows6, key);
  return answer == LAT_SWEEP_FULL;
}

static long lat_sweep_denied(void* map, struct lat_denied_key* key, struct lat_denied* entry, struct lat_sweep* sweep) {
  lat_u64 now = sweep->now_jiffies;
  __s64 since = now - entry->last_report_jiffies, idle = now - entry->last_seen_jiffies;
  __s64 interval = lat_config.denied_jiffies;
  lat_u32 news = entry->packets != entry->reported_packets || entry->wire_packets != entry->reported_wire_packets ||
                 entry->bytes != entry->reported_bytes;
  sweep->denied++;
  if (news && (since >= interval || entry->reported_packets == 0 || sweep->end_all)) {
    struct lat_denied_key copy = *key;
    if (!lat_record_denied(&copy, entry, now, sweep->now_ns)) {
      sweep->more = 1;
      return 1;
    }
    news = 0;
  }
  /* Twice the interval: one that goes on is one entry. */
  if (!news && (sweep->end_all || idle > 2 * interval + LAT_MARGIN_JIFFIES)) bpf_map_delete_elem(&denied, key);
  return 0;
}

#endif /* BPF_SWEEP_H_ */
