/* ICMP and ICMPv6: which flow a message belongs to. Echo has flows of its own;
 * errors belong to the flow they quote; neighbour discovery passes where the
 * device has it; everything else is a flow by type that gives no right to answer. */
#ifndef BPF_ICMP_H_
#define BPF_ICMP_H_

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "packet.h"

#define LAT_ICMP_HEADER 8

enum lat_extension {
  LAT_EXTENSION_NONE = 0, /* an upper-layer protocol */
  LAT_EXTENSION_PLAIN,
  LAT_EXTENSION_ROUTING,
  LAT_EXTENSION_FRAGMENT,
  LAT_EXTENSION_UNKNOWN, /* registered, but nothing here can tell what it hides */
};

static __always_inline lat_u8 lat_extension_kind(lat_u8 proto) {
  switch (proto) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_AH:
    case IPPROTO_DSTOPTS:
      return LAT_EXTENSION_PLAIN;
    case IPPROTO_ROUTING:
      return LAT_EXTENSION_ROUTING;
    case IPPROTO_FRAGMENT:
      return LAT_EXTENSION_FRAGMENT;
    case 135: /* mobility */
    case 139: /* HIP */
    case 140: /* shim6 */
    case 253: /* experiments */
    case 254:
      return LAT_EXTENSION_UNKNOWN;
    default:
      return LAT_EXTENSION_NONE;
  }
}

static __always_inline lat_u32 lat_extension_bytes(lat_u8 proto, lat_u8 length) {
  if (proto == IPPROTO_FRAGMENT) return 8;
  return proto == IPPROTO_AH ? (length + 2) * 4 : (length + 1) * 8;
}

/* Ports of the flow that a message of `type` travelling in `direction` is of. */
static __always_inline void lat_icmp_ports(struct lat_flow6_key* key, lat_u8 is_v6, lat_u32 direction, lat_u8 type,
                                           lat_u16 id) {
  lat_u8 request = is_v6 ? 128 : 8;
  lat_u8 reply = is_v6 ? 129 : 0;
  key->local_port = type == request || type == reply ? id : 0;
  key->remote_port = LAT_ICMP_TYPE_PORT + type;
  if (type == request) key->remote_port = direction == LAT_EGRESS ? request : 0;
  if (type == reply) key->remote_port = direction == LAT_EGRESS ? 0 : request;
}

static __always_inline int lat_icmp_is_error(lat_u8 is_v6, lat_u8 type) {
  return is_v6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
}

/* Router and neighbour solicitation and advertisement, RFC 4861. From outside a hop
 * limit of 255 proves that no router forwarded the message. What this node sends
 * could leave the link with one less: it must be for an address that routers do not
 * forward to, or be an advertisement with nothing but its own fields in it, which
 * answers whoever asked. */
static __always_inline int lat_is_neighbourly(const struct lat_packet* packet, lat_u8 type) {
  if (lat_l2_bytes(packet->key.scope) == 0) return 0;
  if (packet->direction == LAT_INGRESS) return 1;
  const lat_u8* remote = packet->key.remote;
  if (remote[0] == 0xfe && (remote[1] & 0xc0) == 0x80) return 1; /* fe80::/10 */
  if (remote[0] == 0xff && remote[1] == 0x02) return 1;          /* ff02::/16 */
  return type == 136 && packet->l4_bytes <= 32;
}

static __always_inline lat_u8 lat_parse_icmp(struct lat_packet* packet, const lat_u8 header[8], lat_u8 fragmented,
                                             lat_u8 hop_limit) {
  lat_u8 type = header[0], is_v6 = packet->is_v6;
  lat_icmp_ports(&packet->key, is_v6, packet->direction, type, header[4] << 8 | header[5]);
  packet->begins = type == (is_v6 ? 128 : 8);
  if (fragmented) return LAT_REASON_NONE;
  if (lat_icmp_is_error(is_v6, type)) packet->kind = LAT_PACKET_ICMP_ERROR;
  if (is_v6 && type >= 133 && type <= 136 && hop_limit == 255 && lat_is_neighbourly(packet, type))
    packet->kind = LAT_PACKET_NEIGHBOUR;
  return LAT_REASON_NONE;
}

/* The start of the IPv4 packet an error quotes. Answers the offset of its
 * upper-layer header, or 0. */
static __always_inline lat_u32 lat_quoted_ipv4(struct __sk_buff* skb, lat_u32 offset, struct lat_flow6_key* key,
                                               lat_u32 egress) {
  struct iphdr ip;
  if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip))) return 0;
  if (ip.version != 4 || ip.ihl < 5 || ip.frag_off & bpf_htons(0x1fff)) return 0;
  const lat_u8* source = (const lat_u8*)&ip.saddr;
  const lat_u8* destination = (const lat_u8*)&ip.daddr;
  lat_mapped(key->local, egress ? source : destination);
  lat_mapped(key->remote, egress ? destination : source);
  key->proto = ip.protocol;
  return offset + ip.ihl * 4;
}

static __always_inline lat_u32 lat_quoted_ipv6(struct __sk_buff* skb, lat_u32 offset, struct lat_flow6_key* key,
                                               lat_u32 egress) {
  struct ipv6hdr ip;
  if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip))) return 0;
  if (ip.version != 6) return 0;
  const lat_u8* source = ip.saddr.in6_u.u6_addr8;
  const lat_u8* destination = ip.daddr.in6_u.u6_addr8;
  __builtin_memcpy(key->local, egress ? source : destination, 16);
  __builtin_memcpy(key->remote, egress ? destination : source, 16);
  key->proto = ip.nexthdr;
  offset += sizeof(ip);
  LAT_UNROLL
  for (int i = 0; i <= LAT_MAX_EXTENSION_HEADERS; i++) {
    lat_u8 kind = lat_extension_kind(key->proto);
    if (kind == LAT_EXTENSION_NONE) return offset;
    if (kind == LAT_EXTENSION_UNKNOWN || i == LAT_MAX_EXTENSION_HEADERS) return 0;
    lat_u8 header[8];
    if (bpf_skb_load_bytes(skb, offset, header, sizeof(header))) return 0;
    if (kind == LAT_EXTENSION_FRAGMENT && ((header[2] << 8 | header[3]) & 0xfff8)) return 0;
    offset += lat_extension_bytes(key->proto, header[1]);
    key->proto = header[0];
  }
  return 0;
}

/* The key of the flow that the error `packet` quotes, in *key; answers 0 if the
 * quote is no packet that could have been ours. An error goes to the sender of
 * what it quotes, so the quoted packet travelled the other way. */
LAT_FUNCTION int lat_icmp_quote(struct __sk_buff* skb, const struct lat_packet* packet, struct lat_flow6_key* key) {
  if (!packet || !key) return 0;
  lat_u32 egress = packet->direction == LAT_INGRESS;
  lat_u32 offset = packet->l4_offset + LAT_ICMP_HEADER;
  lat_u32 end = packet->l4_offset + packet->l4_bytes;
  key->scope = packet->key.scope;
  offset = packet->is_v6 ? lat_quoted_ipv6(skb, offset, key, egress) : lat_quoted_ipv4(skb, offset, key, egress);
  lat_u8 upper[8];
  if (offset == 0 || offset + sizeof(upper) > end || bpf_skb_load_bytes(skb, offset, upper, sizeof(upper))) return 0;
  const lat_u64* sender = (const lat_u64*)(egress ? key->local : key->remote);
  const lat_u64* receiver = (const lat_u64*)(egress ? packet->key.local : packet->key.remote);
  if (sender[0] != receiver[0] || sender[1] != receiver[1]) return 0;

  lat_u16 first = upper[0] << 8 | upper[1], second = upper[2] << 8 | upper[3];
  if (lat_has_ports(key->proto)) {
    key->local_port = egress ? first : second;
    key->remote_port = egress ? second : first;
  } else if (key->proto == (packet->is_v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP)) {
    if (lat_icmp_is_error(packet->is_v6, upper[0])) return 0;
    lat_icmp_ports(key, packet->is_v6, egress ? LAT_EGRESS : LAT_INGRESS, upper[0], upper[4] << 8 | upper[5]);
  }
  return 1;
}

#endif /* BPF_ICMP_H_ */
