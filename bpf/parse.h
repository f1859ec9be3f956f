/* From bytes to struct lat_packet, or to the reason why the packet cannot be
 * judged. Reads only through bpf_skb_load_bytes, so a packet whose bytes are in
 * fragments of the skb parses like any other, and every length is checked
 * against what the packet claims and against what is there. */
#ifndef BPF_PARSE_H_
#define BPF_PARSE_H_

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "icmp.h"
#include "packet.h"
#include "policy.h"

#define LAT_IPV4_MORE_FRAGMENTS 0x2000
#define LAT_IPV4_OFFSET 0x1fff
#define LAT_TCP_HEADER 20
#define LAT_UDP_HEADER 8

/* What the walk to the upper-layer header found. */
struct lat_walk {
  lat_u32 offset;   /* of the upper-layer header */
  lat_u32 bytes;    /* from there to the end of the IP packet */
  lat_u32 unit;     /* offset at which the fragmentable part begins */
  lat_u32 fragment; /* this fragment's offset in it, bytes */
  lat_u32 id;
  lat_u8 proto;
  lat_u8 more;
  lat_u8 fragmented; /* there is a fragment header, or offset or more is set */
  lat_u8 hop_limit;
  lat_u8 jumbo; /* there is a jumbo payload option that segmentation takes out */
};

/* IPv4 options end where the header ends; LSRR and SSRR would let the sender
 * choose a destination the policy does not see. */
static __always_inline lat_u8 lat_parse_options(struct __sk_buff* skb, lat_u32 offset, lat_u32 bytes) {
  lat_u8 options[40] = {};
  LAT_FORGET(bytes);
  if (bytes == 0 || bytes > sizeof(options)) return LAT_REASON_MALFORMED;
  if (bpf_skb_load_bytes(skb, offset, options, bytes)) return LAT_REASON_MALFORMED;
  lat_u32 skip = 0; /* bytes left of the option at hand */
  for (lat_u32 i = 0; i < sizeof(options); i++) {
    if (i >= bytes) break;
    if (skip > 0) {
      skip--;
      continue;
    }
    lat_u8 kind = options[i];
    if (kind == IPOPT_END) return LAT_REASON_NONE;
    if (kind == IPOPT_NOOP) continue;
    if (kind == IPOPT_LSRR || kind == IPOPT_SSRR) return LAT_REASON_SOURCE_ROUTE;
    lat_u32 length = i + 1 < sizeof(options) ? options[i + 1] : 0;
    if (length < 2 || i + length > bytes) return LAT_REASON_MALFORMED;
    skip = length - 1;
  }
  return LAT_REASON_NONE;
}

static __always_inline lat_u8 lat_parse_ipv4(struct __sk_buff* skb, struct lat_packet* packet, struct lat_walk* walk,
                                             lat_u32 offset, lat_u32 bytes) {
  struct iphdr ip;
  if (bytes < sizeof(ip) || bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip))) return LAT_REASON_MALFORMED;
  if (ip.version != 4) return LAT_REASON_MALFORMED;
  const lat_u8* source = (const lat_u8*)&ip.saddr;
  const lat_u8* destination = (const lat_u8*)&ip.daddr;
  lat_mapped(packet->key.local, packet->direction == LAT_EGRESS ? source : destination);
  lat_mapped(packet->key.remote, packet->direction == LAT_EGRESS ? destination : source);
  packet->key.proto = ip.protocol;

  lat_u32 header = ip.ihl * 4;
  lat_u32 total = bpf_ntohs(ip.tot_len);
  if (total == 0 && skb->gso_size) total = bytes; /* BIG TCP */
  if (header < sizeof(ip) || total < header || total > bytes) return LAT_REASON_MALFORMED;
  if (header > sizeof(ip)) {
    lat_u8 reason = lat_parse_options(skb, offset + sizeof(ip), header - sizeof(ip));
    if (reason != LAT_REASON_NONE) return reason;
  }
  walk->proto = ip.protocol;
  walk->offset = walk->unit = offset + header;
  walk->bytes = total - header;
  walk->fragment = (bpf_ntohs(ip.frag_off) & LAT_IPV4_OFFSET) * 8;
  walk->more = (bpf_ntohs(ip.frag_off) & LAT_IPV4_MORE_FRAGMENTS) != 0;
  walk->fragmented = walk->more || walk->fragment;
  walk->id = bpf_ntohs(ip.id);
  return LAT_REASON_NONE;
}

/* Extension headers up to the upper-layer header; RFC 8200. Past a fragment
 * header with an offset there is nothing that could be read. */
static __always_inline lat_u8 lat_parse_ipv6(struct __sk_buff* skb, struct lat_packet* packet, struct lat_walk* walk,
                                             lat_u32 offset, lat_u32 bytes) {
  struct ipv6hdr ip;
  if (bytes < sizeof(ip) || bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip))) return LAT_REASON_MALFORMED;
  if (ip.version != 6) return LAT_REASON_MALFORMED;
  const lat_u8* source = ip.saddr.in6_u.u6_addr8;
  const lat_u8* destination = ip.daddr.in6_u.u6_addr8;
  __builtin_memcpy(packet->key.local, packet->direction == LAT_EGRESS ? source : destination, 16);
  __builtin_memcpy(packet->key.remote, packet->direction == LAT_EGRESS ? destination : source, 16);
  packet->key.proto = ip.nexthdr;

  lat_u32 payload = bpf_ntohs(ip.payload_len);
  lat_u8 big = payload == 0 && skb->gso_size != 0; /* BIG TCP */
  if (big) payload = bytes - sizeof(ip);
  if (payload > bytes - sizeof(ip)) return LAT_REASON_MALFORMED;
  walk->proto = ip.nexthdr;
  walk->hop_limit = ip.hop_limit;
  walk->offset = walk->unit = offset + sizeof(ip);
  walk->bytes = payload;
  LAT_UNROLL
  for (int i = 0; i <= LAT_MAX_EXTENSION_HEADERS; i++) {
    lat_u8 kind = lat_extension_kind(walk->proto);
    packet->key.proto = walk->proto;
    if (kind == LAT_EXTENSION_NONE) return LAT_REASON_NONE;
    if (kind == LAT_EXTENSION_UNKNOWN || i == LAT_MAX_EXTENSION_HEADERS) return LAT_REASON_EXTENSION_HEADER;
    if (walk->proto == IPPROTO_HOPOPTS && i != 0) return LAT_REASON_EXTENSION_HEADER;
    lat_u8 header[8];
    lat_u8 cut = walk->more ? LAT_REASON_FRAGMENT_TINY : LAT_REASON_MALFORMED;
    if (walk->bytes < sizeof(header)) return cut;
    if (bpf_skb_load_bytes(skb, walk->offset, header, sizeof(header))) return LAT_REASON_MALFORMED;
    lat_u32 length = lat_extension_bytes(walk->proto, header[1]);
    if (kind == LAT_EXTENSION_FRAGMENT) {
      if (walk->fragmented) return LAT_REASON_EXTENSION_HEADER;
      walk->fragmented = 1;
      walk->fragment = (header[2] << 8 | header[3]) & 0xfff8;
      walk->more = header[3] & 1;
      walk->id = (lat_u32)header[4] << 24 | header[5] << 16 | header[6] << 8 | header[7];
      walk->unit = walk->offset + length;
    }
    if (kind == LAT_EXTENSION_ROUTING && header[3] != 0) return LAT_REASON_SOURCE_ROUTE;
    if (length > walk->bytes) return cut;
    if (big && i == 0 && walk->proto == IPPROTO_HOPOPTS && length == 8 && header[2] == 0xc2) walk->jumbo = 1;
    walk->proto = header[0];
    walk->offset += length;
    walk->bytes -= length;
    if (walk->fragment) {
      packet->key.proto = walk->proto;
      return LAT_REASON_NONE;
    }
  }
  return LAT_REASON_EXTENSION_HEADER;
}

static __always_inline lat_u32 lat_min_header(lat_u8 proto, lat_u8 is_v6) {
  if (proto == IPPROTO_TCP) return LAT_TCP_HEADER;
  if (proto == IPPROTO_UDP) return LAT_UDP_HEADER;
  if (proto == (is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) return LAT_ICMP_HEADER;
  return 0;
}

/* Ports and flags. `walk` is at the header, which is there as far as its
 * protocol's shortest one. Answers through *header_bytes how long it is. */
static __always_inline lat_u8 lat_parse_upper(struct __sk_buff* skb, struct lat_packet* packet,
                                              const struct lat_walk* walk, lat_u32* header_bytes) {
  lat_u8 proto = walk->proto;
  lat_u8 header[LAT_TCP_HEADER] = {};
  lat_u32 least = lat_min_header(proto, packet->is_v6);
  lat_u32 egress = packet->direction == LAT_EGRESS;
  *header_bytes = least;
  packet->begins = 1;
  if (least == 0) return LAT_REASON_NONE;
  if (proto == IPPROTO_TCP) {
    if (bpf_skb_load_bytes(skb, walk->offset, header, LAT_TCP_HEADER)) return LAT_REASON_MALFORMED;
  } else {
    if (bpf_skb_load_bytes(skb, walk->offset, header, 8)) return LAT_REASON_MALFORMED;
  }
  if (!lat_has_ports(proto)) return lat_parse_icmp(packet, header, walk->fragmented, walk->hop_limit);

  lat_u16 source = header[0] << 8 | header[1];
  lat_u16 destination = header[2] << 8 | header[3];
  packet->key.local_port = egress ? source : destination;
  packet->key.remote_port = egress ? destination : source;
  if (proto == IPPROTO_UDP) {
    lat_u32 length = header[4] << 8 | header[5];
    if (length < LAT_UDP_HEADER) return LAT_REASON_MALFORMED;
    if (!walk->more && length > walk->bytes) return LAT_REASON_MALFORMED;
    return LAT_REASON_NONE;
  }
  *header_bytes = (header[12] >> 4) * 4;
  packet->tcp_flags = header[13];
  packet->begins = lat_tcp_begins(packet->direction, packet->tcp_flags);
  if (*header_bytes < LAT_TCP_HEADER) return LAT_REASON_MALFORMED;
  if (*header_bytes > walk->bytes) return walk->more ? LAT_REASON_FRAGMENT_TINY : LAT_REASON_MALFORMED;
  return LAT_REASON_NONE;
}

static __always_inline lat_u8 lat_parse_fragment(struct lat_packet* packet, const struct lat_walk* walk) {
  packet->kind = LAT_PACKET_LATER_FRAGMENT;
  packet->fragment_id = walk->id;
  packet->fragment_offset = walk->fragment;
  if (walk->bytes == 0 || walk->fragment + walk->bytes > 65535) return LAT_REASON_MALFORMED;
  /* RFC 3128: it would overwrite the header its datagram was judged by. */
  if (walk->fragment < lat_min_header(walk->proto, packet->is_v6)) return LAT_REASON_FRAGMENT_OVERLAP;
  return LAT_REASON_NONE;
}

/* What goes on the wire: with GSO several packets, each with its own copy of
 * `headers`. A jumbo payload option is taken out when that happens. */
static __always_inline void lat_measure(struct __sk_buff* skb, lat_u32 headers, lat_u32 jumbo, lat_u32* bytes,
                                        lat_u32* wire) {
  *bytes = skb->len;
  *wire = 1;
  lat_u32 size = skb->gso_size;
  if (size == 0) return;
  lat_u32 segments = skb->gso_segs;
  /* Untrusted GSO (a guest's) comes with the size only. */
  if (segments == 0 && skb->len > headers) segments = (skb->len - headers + size - 1) / size;
  if (segments <= 1) return;
  if (jumbo) headers -= 8;
  *wire = segments;
  *bytes = skb->len - (jumbo ? 8 : 0) + (segments - 1) * headers;
}

/* A packet socket chooses skb->protocol freely; the receiver goes by the frame. */
static __always_inline int lat_is_arp(struct __sk_buff* skb, lat_u32 offset) {
  lat_u16 type;
  if (skb->protocol != bpf_htons(ETH_P_ARP) || offset < sizeof(type)) return 0;
  return !bpf_skb_load_bytes(skb, offset - sizeof(type), &type, sizeof(type)) && type == bpf_htons(ETH_P_ARP);
}

/* Fills *packet, of which scope, direction are given and the rest is zero. */
LAT_FUNCTION int lat_parse(struct __sk_buff* skb, struct lat_packet* packet) {
  if (!packet) return 0;
  struct lat_walk walk = {};
  lat_u32 offset = lat_l2_bytes(packet->key.scope);
  lat_u32 bytes = skb->len > offset ? skb->len - offset : 0;
  packet->bytes = skb->len;
  packet->wire = 1;
  if (skb->protocol == bpf_htons(ETH_P_IP)) {
    packet->reason = lat_parse_ipv4(skb, packet, &walk, offset, bytes);
  } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
    packet->is_v6 = 1;
    packet->reason = lat_parse_ipv6(skb, packet, &walk, offset, bytes);
  } else if (lat_is_arp(skb, offset)) {
    packet->kind = LAT_PACKET_NEIGHBOUR;
  } else {
    packet->reason = LAT_REASON_NOT_IP;
  }
  if (packet->reason != LAT_REASON_NONE || packet->kind == LAT_PACKET_NEIGHBOUR) return 0;
  if (walk.fragment) {
    packet->reason = lat_parse_fragment(packet, &walk);
    return 0;
  }
  if (walk.bytes < lat_min_header(walk.proto, packet->is_v6)) {
    packet->reason = walk.more ? LAT_REASON_FRAGMENT_TINY : LAT_REASON_MALFORMED;
    return 0;
  }
  lat_u32 header_bytes = 0;
  packet->l4_offset = walk.offset;
  packet->l4_bytes = walk.bytes;
  packet->reason = lat_parse_upper(skb, packet, &walk, &header_bytes);
  if (walk.more && packet->kind == LAT_PACKET_WHOLE) {
    packet->kind = LAT_PACKET_FIRST_FRAGMENT;
    packet->fragment_id = walk.id;
    packet->fragment_header_bytes = walk.offset - walk.unit + header_bytes;
  }
  lat_measure(skb, walk.offset + header_bytes, walk.jumbo, &packet->bytes, &packet->wire);
  return 0;
}

#endif /* BPF_PARSE_H_ */
