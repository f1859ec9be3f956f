#include "tests/unit/tunnel/tcp_packets.h"

#include <netinet/in.h>

#include <cstring>

#include "absl/types/span.h"
#include "userspace/base/checksum.h"

namespace lattice::tunnel {
namespace {

void Put16(Bytes* bytes, size_t value) {
  bytes->push_back(static_cast<uint8_t>(value >> 8));
  bytes->push_back(static_cast<uint8_t>(value));
}

void Put32(Bytes* bytes, uint32_t value) {
  Put16(bytes, value >> 16);
  Put16(bytes, value & 0xffff);
}

size_t IpBytes(const Bytes& packet) {
  return packet[0] >> 4 == 4 ? 20 : 40;
}

uint16_t TcpChecksum(const Bytes& packet) {
  const size_t ip = IpBytes(packet);
  const absl::Span<const uint8_t> all(packet);
  Checksum sum;
  sum.AddPseudoHeader(ip == 20 ? all.subspan(12, 8) : all.subspan(8, 32), IPPROTO_TCP, packet.size() - ip);
  sum.Add(all.subspan(ip));
  return sum.Finish();
}

}  // namespace

Bytes Payload(size_t from, size_t bytes) {
  Bytes payload(bytes);
  for (size_t i = 0; i < bytes; ++i) payload[i] = static_cast<uint8_t>((from + i) * 31 >> 3);
  return payload;
}

Bytes Packet(const TcpSegment& segment) {
  Bytes packet;
  const size_t tcp_bytes = 20 + segment.options.size() + segment.payload.size();
  if (segment.v4) {
    packet = {0x45, 0};
    Put16(&packet, 20 + tcp_bytes);
    Put16(&packet, segment.id);
    Put16(&packet, segment.dont_fragment ? 0x4000 : 0);
    packet.insert(packet.end(), {segment.hops, IPPROTO_TCP, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2});
    Checksum sum;
    sum.Add(packet);
    const uint16_t checksum = htons(sum.Finish());
    memcpy(&packet[10], &checksum, 2);
  } else {
    packet = {0x60, 0, 0, 0};
    Put16(&packet, tcp_bytes);
    packet.insert(packet.end(), {IPPROTO_TCP, segment.hops});
    for (const uint8_t last : {uint8_t{1}, uint8_t{2}}) {
      const Bytes address = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last};
      packet.insert(packet.end(), address.begin(), address.end());
    }
  }
  const size_t tcp = packet.size();
  Put16(&packet, segment.source_port);
  Put16(&packet, 443);
  Put32(&packet, segment.seq);
  Put32(&packet, segment.ack);
  packet.push_back(static_cast<uint8_t>((20 + segment.options.size()) / 4 << 4));
  packet.push_back(segment.flags);
  Put16(&packet, segment.window);
  Put32(&packet, 0);  // checksum, urgent pointer
  packet.insert(packet.end(), segment.options.begin(), segment.options.end());
  packet.insert(packet.end(), segment.payload.begin(), segment.payload.end());
  const uint16_t checksum = htons(TcpChecksum(packet));
  memcpy(&packet[tcp + 16], &checksum, 2);
  return packet;
}

VnetHeader TsoHeader(const TcpSegment& segment, uint16_t segment_bytes) {
  const uint16_t ip = segment.v4 ? 20 : 40;
  VnetHeader header{};
  header.flags = VnetHeader::kNeedsChecksum;
  header.gso_type = segment.v4 ? VnetHeader::kTcp4 : VnetHeader::kTcp6;
  header.header_bytes = static_cast<uint16_t>(ip + 20 + segment.options.size());
  header.segment_bytes = segment_bytes;
  header.checksum_start = ip;
  header.checksum_offset = 16;
  return header;
}

bool IsSound(const Bytes& packet) {
  const size_t ip = IpBytes(packet);
  if (ip == 20) {
    Checksum sum;
    sum.Add(absl::MakeConstSpan(packet).first(20));
    if (sum.Finish() != 0 || static_cast<size_t>(packet[2] << 8 | packet[3]) != packet.size()) return false;
  } else if (static_cast<size_t>(packet[4] << 8 | packet[5]) + 40 != packet.size()) {
    return false;
  }
  return TcpChecksum(packet) == 0;
}

}  // namespace lattice::tunnel
