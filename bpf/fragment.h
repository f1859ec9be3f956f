/* Later fragments have no ports. They pass with the flow of their first
 * fragment, learnt when that one was allowed; a table that forgets, or a first
 * fragment that came later, means denial. */
#ifndef BPF_FRAGMENT_H_
#define BPF_FRAGMENT_H_

#include "maps.h"
#include "packet.h"
#include "stats.h"

static __always_inline void lat_fragment_key(struct lat_fragment_key* key, const struct lat_packet* packet) {
  __builtin_memcpy(key->local, packet->key.local, 16);
  __builtin_memcpy(key->remote, packet->key.remote, 16);
  key->id = packet->fragment_id;
  key->proto = packet->is_v6 ? 0 : packet->key.proto;
  key->scope = packet->key.scope;
  key->direction = packet->direction;
  key->pad = 0;
}

/* A first fragment was allowed: of the same id the newest counts. */
LAT_FUNCTION int lat_fragment_learn(const struct lat_packet* packet, lat_u32 generation) {
  if (!packet) return 0;
  struct lat_fragment_key key;
  lat_fragment_key(&key, packet);
  struct lat_fragment fragment = {
      .seen_jiffies = bpf_jiffies64(),
      .generation = generation,
      .local_port = packet->key.local_port,
      .remote_port = packet->key.remote_port,
      .header_bytes = packet->fragment_header_bytes,
      .proto = packet->key.proto,
      .untracked = packet->untracked,
  };
  int error = bpf_map_update_elem(&fragments, &key, &fragment, BPF_ANY);
  if (error) lat_count_map_error(LAT_MAP_FRAGMENTS, error);
  return 0;
}

/* Turns a later fragment into a packet of its flow; answers LAT_REASON_NONE or
 * why it cannot. */
LAT_FUNCTION int lat_fragment_find(struct lat_packet* packet) {
  if (!packet) return LAT_REASON_INTERNAL;
  struct lat_fragment_key key;
  lat_fragment_key(&key, packet);
  const struct lat_fragment* fragment = bpf_map_lookup_elem(&fragments, &key);
  if (!fragment || (__s64)(bpf_jiffies64() - fragment->seen_jiffies) > (__s64)lat_config.fragment_jiffies)
    return LAT_REASON_FRAGMENT_UNKNOWN;
  if (packet->fragment_offset < fragment->header_bytes) return LAT_REASON_FRAGMENT_OVERLAP;
  packet->key.proto = fragment->proto;
  packet->key.local_port = fragment->local_port;
  packet->key.remote_port = fragment->remote_port;
  /* Without an entry to say whether it still passes, only the policy it passed under does. */
  packet->untracked = fragment->untracked && fragment->generation == lat_info.generation;
  return LAT_REASON_NONE;
}

#endif /* BPF_FRAGMENT_H_ */
