#include "userspace/netstack/headers.h"

#include <algorithm>
#include <cstring>

#include "userspace/base/checksum.h"

namespace lattice::netstack {
namespace {

constexpr uint8_t kHopByHop = 0, kRouting = 43, kFragmentHeader = 44, kDestinationOptions = 60;
// RFC 8200 4.1 names each header once, destination options twice.
constexpr int kMaxExtensions = 4;

// `whole`: the packet is all there and its length and checksum must hold.
Drop ParseV4(absl::Span<const uint8_t> packet, bool whole, IpPacket* out) {
  if (packet.size() < kIpv4Header) return Drop::kTruncated;
  const size_t header = size_t{packet[0]} % 16 * 4;
  if (header < kIpv4Header) return Drop::kHeaderLength;
  const size_t total = Load16(&packet[2]);
  if (packet.size() < header || (whole && (total < header || total > packet.size()))) return Drop::kTruncated;
  if (whole && OnesSum(packet.first(header)) != 0xffff) return Drop::kIpChecksum;
  // More fragments, or an offset.
  if (whole && (Load16(&packet[6]) & 0x3fff) != 0) return Drop::kFragment;
  if (!whole && (Load16(&packet[6]) & 0x1fff) != 0) return Drop::kFragment;
  out->v4 = true;
  out->protocol = packet[9];
  out->source = IpAddress::FromV4(Load32(&packet[12]));
  out->destination = IpAddress::FromV4(Load32(&packet[16]));
  out->payload = whole ? packet.subspan(header, total - header) : packet.subspan(header);
  return Drop::kNone;
}

// Skips what RFC 8200 lets any host skip. A routing header asks us to forward, which we never do.
Drop SkipExtensions(absl::Span<const uint8_t> rest, uint8_t next, IpPacket* out) {
  for (int count = 0; next == kHopByHop || next == kDestinationOptions; ++count) {
    if (count == kMaxExtensions || (next == kHopByHop && count != 0)) return Drop::kExtension;
    if (rest.size() < 8) return Drop::kTruncated;
    const size_t length = 8 + size_t{rest[1]} * 8;
    if (rest.size() < length) return Drop::kTruncated;
    next = rest[0];
    rest.remove_prefix(length);
  }
  if (next == kFragmentHeader) return Drop::kFragment;
  if (next == kRouting || next == kHopByHop) return Drop::kExtension;
  out->protocol = next;
  out->payload = rest;
  return Drop::kNone;
}

Drop ParseV6(absl::Span<const uint8_t> packet, bool whole, IpPacket* out) {
  if (packet.size() < kIpv6Header) return Drop::kTruncated;
  const size_t length = Load16(&packet[4]);
  absl::Span<const uint8_t> rest = packet.subspan(kIpv6Header);
  if (whole && rest.size() < length) return Drop::kTruncated;
  if (whole) rest = rest.first(length);
  out->v4 = false;
  out->source = IpAddress::FromBytes(&packet[8]);
  out->destination = IpAddress::FromBytes(&packet[24]);
  // Our form of an IPv4 address: on the wire of IPv6 it is a trick (RFC 4942 2.2).
  if (out->source.is_v4() || out->destination.is_v4()) return Drop::kAddress;
  return SkipExtensions(rest, packet[6], out);
}

Drop Parse(absl::Span<const uint8_t> packet, bool whole, IpPacket* out) {
  if (packet.empty()) return Drop::kTruncated;
  switch (packet[0] >> 4) {
    case 4:
      return ParseV4(packet, whole, out);
    case 6:
      return ParseV6(packet, whole, out);
    default:
      return Drop::kVersion;
  }
}

}  // namespace

const char* DropName(Drop drop) {
  static constexpr const char* kNames[] = {"none",           "truncated", "version",  "header_length", "ip_checksum",
                                           "fragment",       "extension", "protocol", "checksum",      "address",
                                           "no_port",        "policy",    "queue",    "cap",           "memory",
                                           "icmp_unmatched", "paws",      "window"};
  static_assert(sizeof(kNames) / sizeof(kNames[0]) == static_cast<size_t>(Drop::kCount));
  return kNames[static_cast<size_t>(drop)];
}

Drop ParseIp(absl::Span<const uint8_t> packet, IpPacket* out) {
  return Parse(packet, /*whole=*/true, out);
}
Drop ParseQuotedIp(absl::Span<const uint8_t> quote, IpPacket* out) {
  return Parse(quote, /*whole=*/false, out);
}

Drop ParseTcp(const IpPacket& packet, TcpSegment* out) {
  const absl::Span<const uint8_t> bytes = packet.payload;
  if (bytes.size() < kTcpHeader) return Drop::kTruncated;
  const size_t header = size_t{bytes[12]} / 16 * 4;
  if (header < kTcpHeader || header > bytes.size()) return Drop::kHeaderLength;
  Checksum checksum;
  checksum.AddPseudoHeader(packet.source, packet.destination, kTcp, bytes.size());
  checksum.Add(bytes);
  if (checksum.Finish() != 0) return Drop::kChecksum;
  out->source_port = Load16(&bytes[0]);
  out->destination_port = Load16(&bytes[2]);
  out->seq = Load32(&bytes[4]);
  out->ack = Load32(&bytes[8]);
  out->flags = bytes[13];
  out->window = Load16(&bytes[14]);
  out->options = ParseTcpOptions(bytes.subspan(kTcpHeader, header - kTcpHeader));
  out->payload = bytes.subspan(header);
  return Drop::kNone;
}

size_t WriteIp(uint8_t* out, const IpAddress& source, const IpAddress& destination, uint8_t protocol,
               size_t payload_bytes) {
  if (source.is_v4()) {
    std::memset(out, 0, kIpv4Header);
    out[0] = 0x45;
    Store16(out + 2, static_cast<uint16_t>(kIpv4Header + payload_bytes));
    out[6] = 0x40;  // Don't Fragment; so the identification may be 0 (RFC 6864 4.1)
    out[8] = kHopLimit;
    out[9] = protocol;
    std::memcpy(out + 12, source.bytes().data() + 12, 4);
    std::memcpy(out + 16, destination.bytes().data() + 12, 4);
    Store16(out + 10, static_cast<uint16_t>(~OnesSum({out, kIpv4Header})));
    return kIpv4Header;
  }
  std::memset(out, 0, 8);
  out[0] = 0x60;
  Store16(out + 4, static_cast<uint16_t>(payload_bytes));
  out[6] = protocol;
  out[7] = kHopLimit;
  std::memcpy(out + 8, source.bytes().data(), 16);
  std::memcpy(out + 24, destination.bytes().data(), 16);
  return kIpv6Header;
}

}  // namespace lattice::netstack
