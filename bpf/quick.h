/* The common packet by direct access: linear, TCP or UDP, no IPv4 options, no
 * extension headers, no fragment. Says no in every doubt; what it says yes to,
 * lat_parse() would parse to the same (tests compare them). */
#ifndef BPF_QUICK_H_
#define BPF_QUICK_H_

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "packet.h"
#include "parse.h"

/* Beside the key: kept in registers until the packet turns out not to be plain. */
struct lat_quick {
  lat_u32 bytes;
  lat_u32 wire;
  lat_u8 tcp_flags;
};

/* TCP or UDP at `header`, of which `bytes` are the packet's. Answers the header's
 * length, 0: not quick. */
static __always_inline lat_u32 lat_quick_upper(const lat_u8* header, const void* end, lat_u8 proto, lat_u32 bytes,
                                               lat_u8* tcp_flags) {
  if (proto == IPPROTO_TCP) {
    if ((const void*)(header + LAT_TCP_HEADER) > end) return 0;
    lat_u32 length = (header[12] >> 4) * 4;
    *tcp_flags = header[13];
    return length >= LAT_TCP_HEADER && length <= bytes ? length : 0;
  }
  if (proto != IPPROTO_UDP || (const void*)(header + LAT_UDP_HEADER) > end) return 0;
  lat_u32 length = bpf_ntohs(*(const lat_u16*)(header + 4));
  *tcp_flags = 0;
  return length >= LAT_UDP_HEADER && length <= bytes ? LAT_UDP_HEADER : 0;
}

/* The second half of either key: ports, protocol, scope, padding. */
static __always_inline lat_u64 lat_quick_ports(const lat_u8* upper, lat_u64 proto, lat_u64 scope, lat_u32 direction) {
  lat_u64 source = bpf_ntohs(*(const lat_u16*)upper), destination = bpf_ntohs(*(const lat_u16*)(upper + 2));
  lat_u64 ports = direction == LAT_EGRESS ? LAT_PAIR(source, destination, 16) : LAT_PAIR(destination, source, 16);
  return LAT_PAIR(ports, LAT_PAIR(proto, scope, 8), 32);
}

static __always_inline int lat_quick4(struct __sk_buff* skb, lat_u32 scope, lat_u32 direction,
                                      struct lat_flow4_key* key, struct lat_quick* quick) {
  lat_u32 l2 = lat_l2_bytes(scope);
  const void* end = (const void*)(long)skb->data_end;
  const struct iphdr* ip = (const void*)(long)skb->data + l2;
  if (skb->protocol != bpf_htons(ETH_P_IP) || (const void*)(ip + 1) > end) return 0;
  if (*(const lat_u8*)ip != 0x45 || ip->frag_off & bpf_htons(LAT_IPV4_MORE_FRAGMENTS | LAT_IPV4_OFFSET)) return 0;
  lat_u32 total = bpf_ntohs(ip->tot_len);
  if (total < sizeof(*ip) || total + l2 > skb->len) return 0;
  const lat_u8* upper = (const lat_u8*)(ip + 1);
  lat_u32 header = lat_quick_upper(upper, end, ip->protocol, total - sizeof(*ip), &quick->tcp_flags);
  if (header == 0) return 0;
  lat_u64 local = direction == LAT_EGRESS ? ip->saddr : ip->daddr;
  lat_u64 remote = direction == LAT_EGRESS ? ip->daddr : ip->saddr;
  lat_u64* words = (lat_u64*)key;
  words[0] = LAT_PAIR(local, remote, 32);
  words[1] = lat_quick_ports(upper, ip->protocol, scope, direction);
  lat_measure(skb, l2 + sizeof(*ip) + header, 0, &quick->bytes, &quick->wire);
  return 1;
}

static __always_inline int lat_quick6(struct __sk_buff* skb, lat_u32 scope, lat_u32 direction,
                                      struct lat_flow6_key* key, struct lat_quick* quick) {
  lat_u32 l2 = lat_l2_bytes(scope);
  const void* end = (const void*)(long)skb->data_end;
  const struct ipv6hdr* ip = (const void*)(long)skb->data + l2;
  if (skb->protocol != bpf_htons(ETH_P_IPV6) || (const void*)(ip + 1) > end) return 0;
  if (ip->version != 6) return 0;
  lat_u32 payload = bpf_ntohs(ip->payload_len);
  if (payload + sizeof(*ip) + l2 > skb->len) return 0;
  const lat_u8* upper = (const lat_u8*)(ip + 1);
  lat_u32 header = lat_quick_upper(upper, end, ip->nexthdr, payload, &quick->tcp_flags);
  if (header == 0) return 0;
  __builtin_memcpy(key->local, direction == LAT_EGRESS ? &ip->saddr : &ip->daddr, 16);
  __builtin_memcpy(key->remote, direction == LAT_EGRESS ? &ip->daddr : &ip->saddr, 16);
  ((lat_u64*)key)[4] = lat_quick_ports(upper, ip->nexthdr, scope, direction);
  lat_measure(skb, l2 + sizeof(*ip) + header, 0, &quick->bytes, &quick->wire);
  return 1;
}

/* The rest of a packet whose key, scope and direction are filled in. */
static __always_inline void lat_packet_from_quick(struct lat_packet* packet, const struct lat_quick* quick) {
  packet->bytes = quick->bytes;
  packet->wire = quick->wire;
  packet->tcp_flags = quick->tcp_flags;
  packet->begins = packet->key.proto == IPPROTO_UDP || lat_tcp_begins(packet->direction, quick->tcp_flags);
}

#endif /* BPF_QUICK_H_ */
