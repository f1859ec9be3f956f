// Packets by name, of the documentation prefixes, honest or lying.
//
//   Packet p = Tcp(Ends4({.remote_port = 443}), LAT_EGRESS, kSyn);
//   p.total_length = 4000;   // a lie
//   std::string frame = p.Frame();
//
// A packet is said from this node's side: its ends are local and remote, and the
// direction decides which of them is the source. L4 checksums are left zero: no hook
// looks at them.
#ifndef TESTS_TESTING_PACKET_H_
#define TESTS_TESTING_PACKET_H_

#include <lattice/abi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "userspace/base/ip.h"

namespace lattice::testing {

inline constexpr uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10;

inline constexpr char kLocal4[] = "192.0.2.1";
inline constexpr char kRemote4[] = "198.51.100.7";
inline constexpr char kRouter4[] = "203.0.113.1";
inline constexpr char kLocal6[] = "2001:db8:1::1";
inline constexpr char kRemote6[] = "2001:db8:2::7";
inline constexpr char kRouter6[] = "2001:db8:3::1";

// An address literal; dies on what is none.
IpAddress Ip(absl::string_view text);

struct Ends {
  IpAddress local;
  IpAddress remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
};

struct EndsOptions {
  uint16_t local_port = 40000;
  uint16_t remote_port = 443;
};
Ends Ends4(EndsOptions options = {});
Ends Ends6(EndsOptions options = {});
// Ends4 or Ends6.
Ends EndsOf(bool v6, EndsOptions options = {});

// One IPv6 extension header: the bytes after its next-header field.
struct Extension {
  uint8_t type = 0;
  std::string rest;
};
Extension HopByHop();
Extension DestinationOptions(int units_of_8 = 1);
Extension Routing(uint8_t segments_left);
Extension Authentication();
Extension FragmentHeader(uint16_t offset_bytes, bool more, uint32_t id);

struct Packet {
  IpAddress source;
  IpAddress destination;
  uint8_t protocol = 0;
  std::string upper;  // upper-layer header and data
  uint8_t hop_limit = 64;

  std::string options;                // IPv4, padded to words
  std::vector<Extension> extensions;  // IPv6, in order
  uint16_t id = 0;                    // IPv4
  uint16_t fragment_offset = 0;       // IPv4, bytes
  bool more_fragments = false;        // IPv4

  // Lies: the field says this whatever the packet is.
  std::optional<uint16_t> total_length;  // IPv6: payload length
  std::optional<uint8_t> version;
  std::optional<uint8_t> ihl;
  std::optional<uint16_t> ether_type;
  std::optional<size_t> cut;  // bytes left of the IP packet
  std::string padding;        // after its end

  // What the kernel says of the skb beside its bytes.
  uint32_t gso_size = 0;
  uint32_t gso_segs = 0;

  bool is_v6() const { return !source.is_v4(); }
  std::string IpBytes() const;
  // With an Ethernet header in front.
  std::string Frame() const;
};

Packet Raw(const Ends& ends, lat_direction direction, uint8_t protocol, std::string upper);
Packet Tcp(const Ends& ends, lat_direction direction, uint8_t flags, size_t data_bytes = 0);
Packet Udp(const Ends& ends, lat_direction direction, size_t data_bytes = 16);
// An ICMP or ICMPv6 message by the family of the ends; `id` is bytes 4-5.
Packet Icmp(const Ends& ends, lat_direction direction, uint8_t type, uint16_t id = 0, size_t data_bytes = 8);
Packet EchoRequest(const Ends& ends, lat_direction direction, uint16_t id);
Packet EchoReply(const Ends& ends, lat_direction direction, uint16_t id);
// Destination unreachable about `quoted`, of which `quoted_bytes` are in it, from
// `reporter` to the sender of `quoted`.
Packet Unreachable(const IpAddress& reporter, const Packet& quoted, size_t quoted_bytes = 48);
// ARP request on Ethernet.
std::string ArpFrame();

// A fragment of `whole`: `bytes` of its upper layer from `offset`.
Packet Fragment(const Packet& whole, uint16_t id, size_t offset, size_t bytes);

// The key the data plane keeps the packet's flow under.
lat_flow6_key FlowKey(const Ends& ends, uint8_t protocol, lat_scope scope);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_PACKET_H_
