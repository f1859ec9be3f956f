/* What a packet says once it is parsed: the only thing the verdict sees. */
#ifndef BPF_PACKET_H_
#define BPF_PACKET_H_

#include <lattice/abi.h>
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define LAT_TCP_FIN 0x01
#define LAT_TCP_SYN 0x02
#define LAT_TCP_RST 0x04
#define LAT_TCP_ACK 0x10

enum lat_packet_kind {
  LAT_PACKET_WHOLE = 0,
  LAT_PACKET_FIRST_FRAGMENT,
  LAT_PACKET_LATER_FRAGMENT,
  LAT_PACKET_ICMP_ERROR,
  LAT_PACKET_NEIGHBOUR,
};

struct lat_packet {
  struct lat_flow6_key key; /* IPv4 as v4-mapped */
  lat_u32 bytes;            /* as on the wire: with the headers of every segment */
  lat_u32 wire;             /* packets on the wire */
  lat_u32 l4_offset;        /* from the start of the data the hook sees */
  lat_u32 l4_bytes;
  lat_u32 fragment_id;
  lat_u16 fragment_offset;       /* bytes */
  lat_u16 fragment_header_bytes; /* first fragment: where its upper-layer header ends */
  lat_u8 direction;              /* enum lat_direction */
  lat_u8 is_v6;
  lat_u8 kind;   /* enum lat_packet_kind */
  lat_u8 reason; /* LAT_REASON_NONE, or why it cannot be judged */
  lat_u8 tcp_flags;
  lat_u8 begins; /* may give the other side the right to answer */
  lat_u8 missed; /* the caller looked up the flow: there is none */
  lat_u8 untracked;
};
LATTICE_ASSERT(sizeof(struct lat_packet) == 72, "no padding: all of it is initialised memory for the verifier");

/* All but the key. */
static __always_inline void lat_packet_clear(struct lat_packet* packet, lat_u32 direction) {
  __builtin_memset(&packet->bytes, 0, sizeof(*packet) - __builtin_offsetof(struct lat_packet, bytes));
  packet->direction = direction;
}

/* SYN alone; RFC 9293 3.5. */
static __always_inline lat_u8 lat_tcp_opens(lat_u8 tcp_flags) {
  return (tcp_flags & (LAT_TCP_SYN | LAT_TCP_ACK | LAT_TCP_RST | LAT_TCP_FIN)) == LAT_TCP_SYN;
}

/* The right to answer, by the packet that begins a flow. Whatever starts on this
 * node gives it; from outside TCP gives it only by opening a connection. */
static __always_inline lat_u8 lat_tcp_begins(lat_u32 direction, lat_u8 tcp_flags) {
  return direction == LAT_EGRESS || lat_tcp_opens(tcp_flags);
}

/* Bytes in front of the IP header in what the hook sees. */
static __always_inline lat_u32 lat_l2_bytes(lat_u32 scope) {
  return scope == LAT_SCOPE_IFACE ? lat_config.l2_bytes : 0;
}

/* Two fields side by side in memory as one word. Keys are stored in whole words,
 * because they are read in words: a read would wait for smaller stores. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LAT_PAIR(first, second, bits_of_first) ((first) | (lat_u64)(second) << (bits_of_first))
#else
#error "the packed keys are written for little-endian machines"
#endif

/* `to` is 8-byte aligned. */
static __always_inline void lat_mapped(lat_u8 to[16], const lat_u8 from[4]) {
  lat_u32 address;
  __builtin_memcpy(&address, from, sizeof(address));
  ((lat_u64*)to)[0] = 0;
  ((lat_u64*)to)[1] = LAT_PAIR(bpf_htonl(0xffff), address, 32);
}

static __always_inline void lat_key6_from4(struct lat_flow6_key* to, const struct lat_flow4_key* from) {
  lat_mapped(to->local, from->local);
  lat_mapped(to->remote, from->remote);
  ((lat_u64*)to)[4] = ((const lat_u64*)from)[1];
}

static __always_inline void lat_key4_from6(struct lat_flow4_key* to, const struct lat_flow6_key* from) {
  lat_u64 local = *(const lat_u32*)(from->local + 12), remote = *(const lat_u32*)(from->remote + 12);
  ((lat_u64*)to)[0] = LAT_PAIR(local, remote, 32);
  ((lat_u64*)to)[1] = ((const lat_u64*)from)[4];
}

/* ::ffff:0:0/96 */
static __always_inline int lat_is_mapped(const lat_u8 address[16]) {
  return ((const lat_u64*)address)[0] == 0 && ((const lat_u32*)address)[2] == bpf_htonl(0xffff);
}

static __always_inline int lat_has_ports(lat_u8 proto) {
  return proto == 6 || proto == 17;
}

/* The port that the policy of `direction` judges. */
static __always_inline lat_u16 lat_judged_port(const struct lat_flow6_key* key, lat_u32 direction) {
  if (!lat_has_ports(key->proto)) return 0;
  return direction == LAT_EGRESS ? key->remote_port : key->local_port;
}

#endif /* BPF_PACKET_H_ */
