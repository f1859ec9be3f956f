/* Audit mode lets pass what the policy denies, so answers come that enforcement would
 * never see. They are told as what they are, answers: not as flows from outside, which
 * this node may go on answering, and not as packets that the ingress policy denies,
 * which would ask for a rule that nobody needs. So five-tuples whose egress was denied
 * are remembered for as long as a flow would be. */
#ifndef BPF_AUDITED_H_
#define BPF_AUDITED_H_

#include "maps.h"
#include "packet.h"
#include "stats.h"

static __always_inline int lat_is_audit_mode(void) {
  return *(volatile lat_u32*)&lat_info.mode == LAT_MODE_AUDIT;
}

/* Of a packet that passes in spite of the policy. */
static __always_inline void lat_audited_learn(const struct lat_packet* packet, lat_u64 now) {
  if (packet->direction != LAT_EGRESS) return;
  struct lat_flow6_key key = packet->key;
  struct lat_audited passed = {.seen_jiffies = now};
  int error = bpf_map_update_elem(&audited, &key, &passed, BPF_ANY);
  if (error) lat_count_map_error(LAT_MAP_AUDITED, error);
}

/* Whether the packet answers one that should not have passed. A SYN is no answer. */
static __always_inline int lat_is_audited_answer(const struct lat_packet* packet) {
  if (packet->direction == LAT_EGRESS || !lat_is_audit_mode()) return 0;
  if (packet->key.proto == 6 && packet->begins) return 0;
  struct lat_flow6_key key = packet->key;
  const struct lat_audited* asked = bpf_map_lookup_elem(&audited, &key);
  return asked && (__s64)(bpf_jiffies64() - asked->seen_jiffies) <= (__s64)lat_config.idle_jiffies;
}

#endif /* BPF_AUDITED_H_ */
