#include "userspace/tunnel/segmentation.h"

#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "userspace/base/checksum.h"

namespace lattice::tunnel {
namespace {

// IPv4 and TCP with all options they can have; the way to a transport header of IPv6 is not bounded by less.
constexpr size_t kMaxHeaderBytes = 256;

void StoreBe16(uint8_t* at, size_t value) {
  at[0] = static_cast<uint8_t>(value >> 8);
  at[1] = static_cast<uint8_t>(value);
}

uint32_t LoadBe32(const uint8_t* at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return ntohl(value);
}

void StoreBe32(uint8_t* at, uint32_t value) {
  value = htonl(value);
  memcpy(at, &value, 4);
}

struct Layout {
  bool v4;
  size_t ip_header_bytes;   // of IPv4; 40 of IPv6, whose extension headers are payload to it
  size_t transport_offset;  // checksum_start
  size_t header_bytes;      // all that is repeated in each segment
  uint8_t protocol;
};

// What the header says, held against the packet. False: they don't fit.
bool Measure(const VnetHeader& header, absl::Span<const uint8_t> packet, Layout* layout) {
  if (packet.size() < sizeof(iphdr)) return false;
  const uint8_t kind = header.gso_type & ~VnetHeader::kEcn;
  const uint8_t version = packet[0] >> 4;
  layout->v4 = version == 4;
  if (!layout->v4 && version != 6) return false;
  layout->ip_header_bytes = layout->v4 ? (packet[0] & 0xf) * size_t{4} : sizeof(ip6_hdr);
  layout->transport_offset = header.checksum_start;
  if (layout->ip_header_bytes < sizeof(iphdr) || layout->transport_offset < layout->ip_header_bytes) return false;
  if (kind == VnetHeader::kUdp) {
    layout->protocol = IPPROTO_UDP;
    layout->header_bytes = layout->transport_offset + sizeof(udphdr);
  } else {
    if (kind != (layout->v4 ? VnetHeader::kTcp4 : VnetHeader::kTcp6)) return false;
    layout->protocol = IPPROTO_TCP;
    if (packet.size() < layout->transport_offset + sizeof(tcphdr)) return false;
    const size_t tcp_bytes = (packet[layout->transport_offset + 12] >> 4) * size_t{4};
    if (tcp_bytes < sizeof(tcphdr)) return false;
    layout->header_bytes = layout->transport_offset + tcp_bytes;
  }
  return layout->header_bytes <= kMaxHeaderBytes && packet.size() > layout->header_bytes;
}

// The checksum of a packet that is whole otherwise.
bool Complete(const VnetHeader& header, absl::Span<uint8_t> packet) {
  const size_t field = size_t{header.checksum_start} + header.checksum_offset;
  if (field + 2 > packet.size()) return false;
  // The field holds the sum of the pseudo header already.
  Checksum sum;
  sum.Add(packet.subspan(header.checksum_start));
  uint16_t checksum = sum.Finish();
  // RFC 768: a checksum of 0 says that there is none. Only UDP has its field at byte 6.
  if (checksum == 0 && header.checksum_offset == offsetof(udphdr, check)) checksum = 0xffff;
  StoreBe16(packet.data() + field, checksum);
  return true;
}

void FinishIpHeader(const Layout& layout, absl::Span<uint8_t> segment, uint16_t id) {
  uint8_t* ip = segment.data();
  if (!layout.v4) return StoreBe16(ip + 4, segment.size() - sizeof(ip6_hdr));
  StoreBe16(ip + 2, segment.size());
  StoreBe16(ip + 4, id);
  memset(ip + 10, 0, 2);
  Checksum sum;
  sum.Add(segment.first(layout.ip_header_bytes));
  StoreBe16(ip + 10, sum.Finish());
}

void FinishTransport(const Layout& layout, absl::Span<uint8_t> segment) {
  const absl::Span<uint8_t> transport = segment.subspan(layout.transport_offset);
  const bool tcp = layout.protocol == IPPROTO_TCP;
  if (!tcp) StoreBe16(transport.data() + 4, transport.size());
  uint8_t* const field = transport.data() + (tcp ? 16 : 6);
  memset(field, 0, 2);
  Checksum sum;
  sum.AddPseudoHeader(layout.v4 ? segment.subspan(12, 8) : segment.subspan(8, 32), layout.protocol, transport.size());
  sum.Add(transport);
  uint16_t checksum = sum.Finish();
  if (checksum == 0 && !tcp) checksum = 0xffff;
  StoreBe16(field, checksum);
}

}  // namespace

bool ForEachSegment(const VnetHeader& header, absl::Span<uint8_t> packet,
                    absl::FunctionRef<void(absl::Span<uint8_t>)> sink) {
  if (header.gso_type == VnetHeader::kNone) {
    if ((header.flags & VnetHeader::kNeedsChecksum) != 0 && !Complete(header, packet)) return false;
    sink(packet);
    return true;
  }
  Layout layout;
  if (header.segment_bytes == 0 || !Measure(header, packet, &layout)) return false;

  std::array<uint8_t, kMaxHeaderBytes> headers;
  std::copy_n(packet.data(), layout.header_bytes, headers.data());
  const uint16_t first_id = static_cast<uint16_t>(headers[4] << 8 | headers[5]);
  const uint32_t first_seq = LoadBe32(&headers[layout.transport_offset + 4]);
  const size_t payload_bytes = packet.size() - layout.header_bytes;
  uint16_t number = 0;
  for (size_t offset = 0; offset < payload_bytes; offset += header.segment_bytes, ++number) {
    const size_t bytes = std::min<size_t>(header.segment_bytes, payload_bytes - offset);
    const absl::Span<uint8_t> segment = packet.subspan(offset, layout.header_bytes + bytes);
    std::copy_n(headers.data(), layout.header_bytes, segment.data());
    FinishIpHeader(layout, segment, static_cast<uint16_t>(first_id + number));
    if (layout.protocol == IPPROTO_TCP) {
      uint8_t* const tcp = segment.data() + layout.transport_offset;
      StoreBe32(tcp + 4, first_seq + static_cast<uint32_t>(offset));
      // The end belongs to the last (FIN, PSH), the news of a smaller window to the first (CWR, RFC 3168 6.1.2).
      if (offset + bytes < payload_bytes) tcp[13] &= static_cast<uint8_t>(~(TH_FIN | TH_PUSH));
      if (offset > 0) tcp[13] &= static_cast<uint8_t>(~0x80);
    }
    FinishTransport(layout, segment);
    sink(segment);
  }
  return true;
}

}  // namespace lattice::tunnel
