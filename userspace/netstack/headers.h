// What is on the wire: IP packets taken apart and headers written. No state, any thread.
//
// Every length is checked here once; what ParseIp and ParseTcp hand out lies inside of the packet.
#ifndef USERSPACE_NETSTACK_HEADERS_H_
#define USERSPACE_NETSTACK_HEADERS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "userspace/base/ip.h"
#include "userspace/netstack/tcp_options.h"

namespace lattice::netstack {

constexpr uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kIcmpV6 = 58;
constexpr size_t kIpv4Header = 20, kIpv6Header = 40, kTcpHeader = 20, kUdpHeader = 8, kIcmpHeader = 8;
constexpr uint8_t kHopLimit = 64;

enum TcpFlag : uint8_t { kFin = 1, kSyn = 2, kRst = 4, kPsh = 8, kAck = 16, kUrg = 32 };

// Why a packet went no further. The names are those of Counters::dropped.
enum class Drop : uint8_t {
  kNone,
  kTruncated,     // shorter than its headers say
  kVersion,       // neither IPv4 nor IPv6
  kHeaderLength,  // IPv4 header below 20 bytes, TCP offset below 5 or past the end
  kIpChecksum,
  kFragment,       // refused: see README.md
  kExtension,      // an IPv6 extension header that is unknown, broken, routing, or one too many
  kProtocol,       // no protocol of ours
  kChecksum,       // TCP, UDP or ICMP
  kAddress,        // not for us, or from what cannot be a peer
  kNoPort,         // nobody listens
  kPolicy,         // FlowJudge said no
  kQueueFull,      // a socket's queue, the accept queue or the control queue
  kCap,            // connections or half-open connections at their cap
  kMemory,         // the budget is spent
  kIcmpUnmatched,  // an error that quotes nothing we sent
  kPaws,           // old timestamp
  kWindow,         // TCP segment outside of the window
  kCount,
};
const char* DropName(Drop drop);

struct IpPacket {
  IpAddress source, destination;
  bool v4 = false;
  uint8_t protocol = 0;
  absl::Span<const uint8_t> payload;  // of the transport, without padding
};

// One whole packet, IPv4 options and IPv6 hop-by-hop and destination options skipped.
Drop ParseIp(absl::Span<const uint8_t> packet, IpPacket* out);
// The same without length and checksum of the whole, for the packet inside of an ICMP error.
Drop ParseQuotedIp(absl::Span<const uint8_t> quote, IpPacket* out);

struct TcpSegment {
  uint16_t source_port = 0, destination_port = 0;
  uint32_t seq = 0, ack = 0;
  uint8_t flags = 0;
  uint16_t window = 0;
  TcpOptions options;
  absl::Span<const uint8_t> payload;

  bool Has(TcpFlag flag) const { return (flags & flag) != 0; }
  // Sequence numbers it takes.
  uint32_t Length() const { return static_cast<uint32_t>(payload.size()) + (Has(kSyn) ? 1 : 0) + (Has(kFin) ? 1 : 0); }
};
// Checks the checksum too.
Drop ParseTcp(const IpPacket& packet, TcpSegment* out);

// Writes an IP header in front of `payload_bytes` of `protocol`; returns its length. Don't Fragment is set.
size_t WriteIp(uint8_t* out, const IpAddress& source, const IpAddress& destination, uint8_t protocol,
               size_t payload_bytes);
inline size_t IpHeaderBytes(bool v4) {
  return v4 ? kIpv4Header : kIpv6Header;
}

inline uint16_t Load16(const uint8_t* bytes) {
  return static_cast<uint16_t>(bytes[0] << 8 | bytes[1]);
}
inline uint32_t Load32(const uint8_t* bytes) {
  return uint32_t{Load16(bytes)} << 16 | Load16(bytes + 2);
}
inline void Store16(uint8_t* out, uint16_t value) {
  out[0] = static_cast<uint8_t>(value >> 8);
  out[1] = static_cast<uint8_t>(value);
}
inline void Store32(uint8_t* out, uint32_t value) {
  Store16(out, static_cast<uint16_t>(value >> 16));
  Store16(out + 2, static_cast<uint16_t>(value));
}

}  // namespace lattice::netstack

#endif  // USERSPACE_NETSTACK_HEADERS_H_
