/* The compiled policy: layout of the word table that userspace/policy writes
 * and include/lattice/policy_walk.h reads, in BPF and in userspace alike.
 *
 * The table is an array of 32-bit words in blocks of LAT_BLOCK_WORDS. A *unit*
 * is 16 words (64 bytes, one cache line); a word index is unit * 16 + offset.
 * Unit 0 is the header. Nothing that is read through one pointer crosses a
 * unit, so a block boundary never cuts anything. A table of zeros denies all.
 *
 * A *ref* is one word:
 *   bit 31 clear   leaf: word index of a leaf
 *   bit 31 set     node: bits 30-29 kind, bits 28-25 shift, bits 24-0 place
 *                  (word index / 8)
 *
 * Address trie; shift says how many bytes of the address follow those that a
 * stride node looks at:
 *   stride node: 256 refs, indexed by one byte of the address
 *   wide node: 65536 refs, indexed by two bytes (not byte 7 and 8 of IPv6);
 *     where there are enough prefixes to be worth 256 KiB
 *   mask node: struct lat_mask4_node or lat_mask6_node by family; (address &
 *     mask) == key ? match : miss. Its spare words hold the leaf of its match
 *     where that fits, so the walk ends in the cache line it has.
 * Path compression, single prefixes and host rules are mask nodes. Every node
 * but the last LAT_MAX_CHAIN (mask nodes) consumes at least one byte: 16 + 4
 * steps at most, which is LAT_MAX_STEPS.
 *
 * Leaf: word 0 is the word index of a class row (a multiple of 8), words 1..n
 * are the rule slots of the prefix's rule list.
 *
 * Class row: 8 words, one port ref per lat_proto_class for packets with ports,
 * then the same for packets without (a later fragment not learnt: allow rules
 * with ports never match, deny rules with ports of that protocol always do).
 * Port ref: bit 31 clear is a decision, set is a range node (kind and shift 0).
 * The key of LAT_PROTO_OTHER's range nodes is the protocol number instead of
 * the port. At most LAT_MAX_PORT_STEPS range nodes on a path (10^5 > 65536).
 *
 * Decision: bit 30 allow. Bits 28-0 name the rule: with bit 29 (DIRECT) the
 * rule slot + 1, otherwise the position in the leaf's rule list (1..n); 0 is
 * the default. By position, all prefixes with rules of the same shape share one
 * class row and its range nodes.
 */
#ifndef LATTICE_POLICY_H_
#define LATTICE_POLICY_H_

#include <lattice/abi.h>

#define LAT_POLICY_MAGIC 0x4c415031u /* "LAP1" */
#define LAT_BLOCK_WORDS (1u << 19)   /* 2 MiB: under the 4 MiB map value limit of kernel 6.1 */
#define LAT_BLOCK_BYTES (LAT_BLOCK_WORDS * 4)
#define LAT_UNIT_WORDS 16u
#define LAT_BLOCK_UNITS (LAT_BLOCK_WORDS / LAT_UNIT_WORDS)

#define LAT_NODE 0x80000000u
#define LAT_NODE_STRIDE 0u
#define LAT_NODE_WIDE 0x20000000u
#define LAT_NODE_MASK 0x40000000u
#define LAT_NODE_SHIFT_BIT 25
#define LAT_NODE_PLACE 0x01ffffffu
#define LAT_PLACE_WORDS 8u

#define LAT_DECISION_ALLOW 0x40000000u
#define LAT_DECISION_DIRECT 0x20000000u
#define LAT_DECISION_RULE 0x1fffffffu

#define LAT_MAX_CHAIN 4
#define LAT_MAX_STEPS 20
#define LAT_MAX_PORT_STEPS 5

enum lat_proto_class { LAT_PROTO_TCP = 0, LAT_PROTO_UDP, LAT_PROTO_ICMP, LAT_PROTO_OTHER, LAT_PROTO_CLASSES };

#define LAT_CLASS_ROW_WORDS (2 * LAT_PROTO_CLASSES)

enum lat_policy_flag {
  LAT_POLICY_LPM = 1, /* addresses are in lpm4/lpm6, not in the trie; values are leaf word indexes (u32) */
};

struct lat_policy_header { /* unit 0 */
  lat_u32 magic;
  lat_u32 generation;
  lat_u32 flags;
  lat_u32 words;
  lat_u32 root4[2]; /* refs by lat_direction */
  lat_u32 root6[2];
  lat_u32 default_leaf[2]; /* leaf word index where the LPM trie finds nothing */
  lat_u32 reserved[6];
};
LATTICE_ASSERT(sizeof(struct lat_policy_header) == 64, "policy header layout");

/* An IPv4 address in host order. */
struct lat_mask4_node {
  lat_u32 key;
  lat_u32 mask;
  lat_u32 ref[2]; /* match, miss */
  lat_u32 spare[4];
};
LATTICE_ASSERT(sizeof(struct lat_mask4_node) == 32, "mask4 node layout");

/* An IPv6 address as two numbers in host order, the first 8 bytes first. */
struct lat_mask6_node {
  lat_u64 key[2];
  lat_u64 mask[2];
  lat_u32 ref[2]; /* match, miss */
  lat_u32 spare[6];
};
LATTICE_ASSERT(sizeof(struct lat_mask6_node) == 64, "mask6 node layout");

/* child[n] holds the ports that n of the ascending boundaries are less than or
 * equal to. Boundary i is in bits 21 * (i % 3) and up of edges[i / 3], unused
 * ones are 0x10000: one subtraction compares the port with three of them. */
struct lat_range_node {
  lat_u32 child[10]; /* port refs */
  lat_u64 edges[3];
};
LATTICE_ASSERT(sizeof(struct lat_range_node) == 64, "range node layout");
#define LAT_RANGE_LANE 21
#define LAT_RANGE_ONES 0x0000040000200001ull  /* 1 in each lane */
#define LAT_RANGE_GUARD 0x4000020000100000ull /* the top bit of each lane */
#define LAT_RANGE_UNUSED 0x10000u

/* LPM fallback: direction is the first byte, so prefixlen counts 8 bits more. */
struct lat_lpm4_key {
  lat_u32 prefixlen;
  lat_u8 direction;
  lat_u8 addr[4];
  lat_u8 pad[3];
};
struct lat_lpm6_key {
  lat_u32 prefixlen;
  lat_u8 direction;
  lat_u8 addr[16];
  lat_u8 pad[3];
};

#endif /* LATTICE_POLICY_H_ */
