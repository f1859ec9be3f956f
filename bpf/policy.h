/* The published policy, as the programs see it: a view over one generation of
 * the word table and the judgement of a packet by it. */
#ifndef BPF_POLICY_H_
#define BPF_POLICY_H_

#include "maps.h"
#include "packet.h"

struct lat_policy_view {
  const lat_u32* block0;
  lat_u32 slot;
};

/* Block 1 and up. */
static __always_inline const lat_u32* lat_policy_block(const struct lat_policy_view* view, lat_u32 block) {
  lat_u32 slot = view->slot, entry = block - 1;
  void* map = bpf_map_lookup_elem(&policy_more, &slot);
  return map ? bpf_map_lookup_elem(map, &entry) : 0;
}

static __always_inline const lat_u32* lat_policy_unit(const struct lat_policy_view* view, lat_u32 unit) {
  lat_u32 block = unit / LAT_BLOCK_UNITS;
  const lat_u32* words = view->block0;
  if (block) words = lat_policy_block(view, block);
  return words ? words + (unit % LAT_BLOCK_UNITS) * LAT_UNIT_WORDS : 0;
}

#include <lattice/policy_walk.h>

struct lat_judgement {
  enum lat_verdict verdict; /* LAT_ALLOW or LAT_DENY: the mode is applied later */
  enum lat_reason reason;
  lat_u32 rule; /* slot + 1; 0: the default decided */
  lat_u32 generation;
};

/* Opens the published generation, or returns 0 if there is none. Between the
 * read of the generation and of its slot the policy may be replaced; the header
 * tells, and the next try sees the newer one. An inner map that was found stays
 * what it is until the program ends: userspace waits for that (RCU) before it
 * writes the slot's LPM maps or fills the slot again. */
static __always_inline lat_u32 lat_policy_open(struct lat_policy_view* view) {
  for (int attempt = 0; attempt < 4; attempt++) {
    lat_u32 generation = *(volatile lat_u32*)&lat_info.generation;
    if (generation == 0) return 0;
    lat_u32 slot = generation & 1, zero = 0;
    void* map = bpf_map_lookup_elem(&policy, &slot);
    if (!map) continue;
    view->slot = slot;
    view->block0 = bpf_map_lookup_elem(map, &zero);
    if (view->block0 && view->block0[1] == generation) return generation;
  }
  return 0;
}

/* The leaf of `address` from the LPM maps, or the table's default leaf. */
static __always_inline lat_u32 lat_policy_lpm_leaf(const struct lat_policy_view* view, lat_u32 generation,
                                                   lat_u32 direction, lat_u32 is_v6, const lat_u8 address[16]) {
  lat_u32 slot = generation & 1;
  lat_u32* leaf = 0;
  void* trie = is_v6 ? bpf_map_lookup_elem(&lpm6, &slot) : bpf_map_lookup_elem(&lpm4, &slot);
  if (trie && is_v6) {
    struct lat_lpm6_key key = {.prefixlen = 8 + 128, .direction = direction};
    __builtin_memcpy(key.addr, address, 16);
    leaf = bpf_map_lookup_elem(trie, &key);
  } else if (trie) {
    struct lat_lpm4_key key = {.prefixlen = 8 + 32, .direction = direction};
    __builtin_memcpy(key.addr, address + 12, 4);
    leaf = bpf_map_lookup_elem(trie, &key);
  }
  return leaf ? *leaf : lat_policy_default_leaf(view, direction);
}

/* What the policy of `direction` says of the packet's remote address, protocol
 * and port (remote for egress, local for ingress). */
LAT_FUNCTION int lat_policy_judge(const struct lat_packet* packet, lat_u32 direction, struct lat_judgement* judgement) {
  if (!packet || !judgement) return 0;
  struct lat_policy_view view = {};
  lat_u32 generation = lat_policy_open(&view);
  judgement->verdict = LAT_DENY;
  judgement->reason = LAT_REASON_NO_POLICY;
  judgement->rule = 0;
  judgement->generation = generation;
  if (generation == 0) return 0;

  const struct lat_flow6_key* key = &packet->key;
  lat_u32 leaf;
  if (lat_policy_flags(&view) & LAT_POLICY_LPM) {
    leaf = lat_policy_lpm_leaf(&view, generation, direction, packet->is_v6, key->remote);
  } else {
    lat_u64 hi, lo;
    __builtin_memcpy(&hi, key->remote, 8);
    __builtin_memcpy(&lo, key->remote + 8, 8);
    leaf = lat_policy_leaf(&view, direction, packet->is_v6, bpf_be64_to_cpu(hi), bpf_be64_to_cpu(lo));
  }
  lat_u32 decision = lat_policy_decide(&view, leaf, packet->is_v6, key->proto, lat_has_ports(key->proto),
                                       lat_judged_port(key, direction));
  judgement->rule = lat_policy_rule(&view, leaf, decision);
  if (decision & LAT_DECISION_ALLOW) {
    judgement->verdict = LAT_ALLOW;
    judgement->reason = judgement->rule ? LAT_REASON_ALLOW_RULE : LAT_REASON_DEFAULT_ALLOW;
  } else {
    judgement->reason = judgement->rule ? LAT_REASON_DENY_RULE : LAT_REASON_NO_RULE;
  }
  return 0;
}

#endif /* BPF_POLICY_H_ */
