/* The one walk through the compiled policy of policy.h: BPF programs judge with
 * it, userspace tests and tools compare it with the reference judge.
 *
 * Before including it, define how a unit of the table is reached:
 *
 *   struct lat_policy_view { … };
 *   static … const lat_u32 *lat_policy_unit(const struct lat_policy_view *view, lat_u32 unit);
 *
 * which returns 16 words, 8-byte aligned, or NULL for a unit that is not there;
 * every function then answers the closed way (leaf 0, deny, no rule). In BPF:
 *
 *   struct lat_policy_view { const lat_u32 *block0; lat_u32 slot; };
 *   static __always_inline const lat_u32 *lat_policy_unit(const struct lat_policy_view *view, lat_u32 unit) {
 *     lat_u32 block = unit / LAT_BLOCK_UNITS;
 *     const lat_u32 *words = view->block0;
 *     if (block) words = … the block of that number, or NULL …;
 *     return words ? words + (unit % LAT_BLOCK_UNITS) * LAT_UNIT_WORDS : 0;
 *   }
 *
 * A verdict is three calls, the third only when a flow starts:
 *
 *   leaf = lat_policy_leaf(view, LAT_EGRESS, is_v6, hi, lo);     (or the value found in lpm4/lpm6)
 *   decision = lat_policy_decide(view, leaf, is_v6, proto, has_ports, port);
 *   allowed = decision & LAT_DECISION_ALLOW;
 *   rule = lat_policy_rule(view, leaf, decision);                slot + 1; 0: the default decided
 *
 * Loops are bounded by LAT_MAX_STEPS and LAT_MAX_PORT_STEPS, all offsets by
 * masks: no kernel since 5.3 refuses it.
 */
#ifndef LATTICE_POLICY_WALK_H_
#define LATTICE_POLICY_WALK_H_

#include <lattice/policy.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* Makes the compiler forget what it knows of a number, so that the check the verifier
 * needs stays where it is written. */
#define LAT_FORGET(number) __asm__ volatile("" : "+r"(number))

static __always_inline lat_u64 lat_policy_u64_(const lat_u32* words) {
  lat_u64 value;
  __builtin_memcpy(&value, __builtin_assume_aligned(words, 8), sizeof(value));
  return value;
}

static __always_inline lat_u32 lat_policy_word_(const struct lat_policy_view* view, lat_u32 index) {
  const lat_u32* unit = lat_policy_unit(view, index / LAT_UNIT_WORDS);
  return unit ? unit[index % LAT_UNIT_WORDS] : 0;
}

/* A word of unit 0, which is struct lat_policy_header. */
static __always_inline lat_u32 lat_policy_header_(const struct lat_policy_view* view, lat_u32 index) {
  const lat_u32* unit = lat_policy_unit(view, 0);
  LAT_FORGET(index);
  return unit ? unit[index % LAT_UNIT_WORDS] : 0;
}

static __always_inline lat_u32 lat_policy_flags(const struct lat_policy_view* view) {
  return lat_policy_header_(view, 2);
}

/* The leaf where LAT_POLICY_LPM is set and the LPM trie finds nothing. */
static __always_inline lat_u32 lat_policy_default_leaf(const struct lat_policy_view* view, lat_u32 direction) {
  return lat_policy_header_(view, 8 + (direction & 1));
}

static __always_inline lat_u32 lat_policy_walk4_(const struct lat_policy_view* view, lat_u32 ref, lat_u32 address) {
  for (int step = 0; step < LAT_MAX_STEPS; step++) {
    if (!(ref & LAT_NODE)) return ref;
    lat_u32 place = ref & LAT_NODE_PLACE;
    if (ref & LAT_NODE_MASK) {
      const lat_u32* unit = lat_policy_unit(view, place / 2);
      if (!unit) return 0;
      unit += place % 2 * LAT_PLACE_WORDS;
      ref = (address & unit[1]) == unit[0] ? unit[2] : unit[3];
    } else {
      lat_u32 index = address >> ((ref >> (LAT_NODE_SHIFT_BIT - 3)) & 24);
      index &= ref & LAT_NODE_WIDE ? 0xffff : 0xff;
      const lat_u32* unit = lat_policy_unit(view, place / 2 + index / LAT_UNIT_WORDS);
      if (!unit) return 0;
      ref = unit[index % LAT_UNIT_WORDS];
    }
  }
  return ref & LAT_NODE ? 0 : ref;
}

static __always_inline lat_u32 lat_policy_walk6_(const struct lat_policy_view* view, lat_u32 ref, lat_u64 hi,
                                                 lat_u64 lo) {
  for (int step = 0; step < LAT_MAX_STEPS; step++) {
    if (!(ref & LAT_NODE)) return ref;
    lat_u32 place = ref & LAT_NODE_PLACE;
    if (ref & LAT_NODE_MASK) {
      const lat_u32* unit = lat_policy_unit(view, place / 2);
      if (!unit) return 0;
      lat_u64 differs = ((hi & lat_policy_u64_(unit + 4)) ^ lat_policy_u64_(unit)) |
                        ((lo & lat_policy_u64_(unit + 6)) ^ lat_policy_u64_(unit + 2));
      ref = differs ? unit[9] : unit[8];
    } else {
      lat_u32 shift = ref >> (LAT_NODE_SHIFT_BIT - 3);
      lat_u32 index = (lat_u32)((shift & 64 ? hi : lo) >> (shift & 56));
      index &= ref & LAT_NODE_WIDE ? 0xffff : 0xff;
      const lat_u32* unit = lat_policy_unit(view, place / 2 + index / LAT_UNIT_WORDS);
      if (!unit) return 0;
      ref = unit[index % LAT_UNIT_WORDS];
    }
  }
  return ref & LAT_NODE ? 0 : ref;
}

/* hi, lo: the address in host order, of IPv4 only the low 32 bits of lo count. */
static __always_inline lat_u32 lat_policy_leaf(const struct lat_policy_view* view, lat_u32 direction, lat_u32 is_v6,
                                               lat_u64 hi, lat_u64 lo) {
  lat_u32 ref = lat_policy_header_(view, (is_v6 ? 6 : 4) + (direction & 1));
  return is_v6 ? lat_policy_walk6_(view, ref, hi, lo) : lat_policy_walk4_(view, ref, (lat_u32)lo);
}

static __always_inline lat_u32 lat_policy_class(lat_u32 is_v6, lat_u8 proto) {
  if (proto == 6) return LAT_PROTO_TCP;
  if (proto == 17) return LAT_PROTO_UDP;
  return proto == (is_v6 ? 58 : 1) ? LAT_PROTO_ICMP : LAT_PROTO_OTHER;
}

/* The decision word. `port`: the remote port for egress, the local one for
 * ingress; `has_ports` 0 where the packet has none that can be read. Both
 * matter for TCP and UDP only. */
static __always_inline lat_u32 lat_policy_decide(const struct lat_policy_view* view, lat_u32 leaf, lat_u32 is_v6,
                                                 lat_u8 proto, lat_u32 has_ports, lat_u16 port) {
  lat_u32 proto_class = lat_policy_class(is_v6, proto);
  lat_u32 key = proto_class == LAT_PROTO_OTHER ? proto : port;
  lat_u32 row = lat_policy_word_(view, leaf);
  lat_u32 ref = lat_policy_word_(view, row + proto_class + (has_ports ? 0 : LAT_PROTO_CLASSES));
  /* In each lane of the difference the guard bit stays where boundary <= key:
   * no branches that scans of ports would make the processor guess. */
  lat_u64 keys = key * LAT_RANGE_ONES | LAT_RANGE_GUARD;
  for (int step = 0; step < LAT_MAX_PORT_STEPS; step++) {
    if (!(ref & LAT_NODE)) return ref;
    const lat_u32* unit = lat_policy_unit(view, (ref & LAT_NODE_PLACE) / 2);
    if (!unit) return 0;
    lat_u64 lanes = 0;
    for (int i = 0; i < 3; i++) {
      lanes += (keys - lat_policy_u64_(unit + 10 + 2 * i)) >> (LAT_RANGE_LANE - 1) & LAT_RANGE_ONES;
    }
    ref = unit[lanes * LAT_RANGE_ONES >> 2 * LAT_RANGE_LANE & 15];
  }
  return ref & LAT_NODE ? 0 : ref;
}

static __always_inline lat_u32 lat_policy_rule(const struct lat_policy_view* view, lat_u32 leaf, lat_u32 decision) {
  lat_u32 rule = decision & LAT_DECISION_RULE;
  if (rule == 0 || decision & LAT_DECISION_DIRECT) return rule;
  return lat_policy_word_(view, leaf + rule) + 1;
}

#endif /* LATTICE_POLICY_WALK_H_ */
