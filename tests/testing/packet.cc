#include "tests/testing/packet.h"

#include <algorithm>
#include <cstring>

#include "glog/logging.h"

namespace lattice::testing {
namespace {

void Put16(std::string& to, uint32_t value) {
  to.push_back(static_cast<char>(value >> 8));
  to.push_back(static_cast<char>(value));
}

void Put32(std::string& to, uint32_t value) {
  Put16(to, value >> 16);
  Put16(to, value & 0xffff);
}

void PutAddress(std::string& to, const IpAddress& address) {
  const auto& bytes = address.bytes();
  to.append(reinterpret_cast<const char*>(bytes.data()) + (address.is_v4() ? 12 : 0), address.is_v4() ? 4 : 16);
}

uint16_t HeaderChecksum(const std::string& header) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < header.size(); i += 2) {
    sum += static_cast<uint8_t>(header[i]) << 8 | static_cast<uint8_t>(header[i + 1]);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

std::string Ipv4Bytes(const Packet& packet) {
  std::string options = packet.options;
  options.resize((options.size() + 3) / 4 * 4, '\0');
  const size_t header_bytes = 20 + options.size();
  const uint8_t ihl = packet.ihl.value_or(static_cast<uint8_t>(header_bytes / 4));
  std::string out;
  out.push_back(static_cast<char>(packet.version.value_or(4) << 4 | (ihl & 15)));
  out.push_back(0);
  Put16(out, packet.total_length.value_or(static_cast<uint16_t>(header_bytes + packet.upper.size())));
  Put16(out, packet.id);
  Put16(out, static_cast<uint32_t>(packet.fragment_offset / 8) | (packet.more_fragments ? 0x2000 : 0));
  out.push_back(static_cast<char>(packet.hop_limit));
  out.push_back(static_cast<char>(packet.protocol));
  Put16(out, 0);
  PutAddress(out, packet.source);
  PutAddress(out, packet.destination);
  out += options;
  const uint16_t checksum = HeaderChecksum(out);
  out[10] = static_cast<char>(checksum >> 8);
  out[11] = static_cast<char>(checksum);
  return out + packet.upper;
}

std::string Ipv6Bytes(const Packet& packet) {
  std::string chain;
  uint8_t first = packet.protocol;
  for (size_t i = packet.extensions.size(); i-- > 0;) {
    chain = static_cast<char>(first) + packet.extensions[i].rest + chain;
    first = packet.extensions[i].type;
  }
  std::string out;
  out.push_back(static_cast<char>(packet.version.value_or(6) << 4));
  out.append(3, '\0');
  Put16(out, packet.total_length.value_or(static_cast<uint16_t>(chain.size() + packet.upper.size())));
  out.push_back(static_cast<char>(first));
  out.push_back(static_cast<char>(packet.hop_limit));
  PutAddress(out, packet.source);
  PutAddress(out, packet.destination);
  return out + chain + packet.upper;
}

}  // namespace

IpAddress Ip(absl::string_view text) {
  auto address = IpAddress::Parse(text);
  CHECK(address.ok()) << address.status();
  return *address;
}

Ends Ends4(EndsOptions options) {
  return {Ip(kLocal4), Ip(kRemote4), options.local_port, options.remote_port};
}

Ends Ends6(EndsOptions options) {
  return {Ip(kLocal6), Ip(kRemote6), options.local_port, options.remote_port};
}

Ends EndsOf(bool v6, EndsOptions options) {
  return v6 ? Ends6(options) : Ends4(options);
}

Extension HopByHop() {
  // Length 0: 8 bytes; PadN of 4.
  return {0, std::string("\0\1\4\0\0\0\0", 7)};
}

Extension DestinationOptions(int units_of_8) {
  std::string rest(static_cast<size_t>(units_of_8) * 8 - 1, '\0');
  rest[0] = static_cast<char>(units_of_8 - 1);
  return {60, rest};
}

Extension Routing(uint8_t segments_left) {
  std::string rest(7, '\0');
  rest[1] = 4;  // segment routing
  rest[2] = static_cast<char>(segments_left);
  return {43, rest};
}

Extension Authentication() {
  std::string rest(23, '\0');
  rest[0] = 4;  // (4 + 2) * 4 = 24 bytes
  return {51, rest};
}

Extension FragmentHeader(uint16_t offset_bytes, bool more, uint32_t id) {
  std::string rest(1, '\0');
  Put16(rest, (offset_bytes & 0xfff8u) | (more ? 1 : 0));
  Put32(rest, id);
  return {44, rest};
}

std::string Packet::IpBytes() const {
  std::string out = is_v6() ? Ipv6Bytes(*this) : Ipv4Bytes(*this);
  if (cut) out.resize(std::min(out.size(), *cut));
  return out + padding;
}

std::string Packet::Frame() const {
  std::string out("\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
  Put16(out, ether_type.value_or(is_v6() ? 0x86dd : 0x0800));
  return out + IpBytes();
}

Packet Raw(const Ends& ends, lat_direction direction, uint8_t protocol, std::string upper) {
  Packet packet;
  packet.source = direction == LAT_EGRESS ? ends.local : ends.remote;
  packet.destination = direction == LAT_EGRESS ? ends.remote : ends.local;
  packet.protocol = protocol;
  packet.upper = std::move(upper);
  return packet;
}

Packet Tcp(const Ends& ends, lat_direction direction, uint8_t flags, size_t data_bytes) {
  std::string upper;
  Put16(upper, direction == LAT_EGRESS ? ends.local_port : ends.remote_port);
  Put16(upper, direction == LAT_EGRESS ? ends.remote_port : ends.local_port);
  Put32(upper, 1000);
  Put32(upper, 2000);
  upper.push_back(0x50);
  upper.push_back(static_cast<char>(flags));
  Put16(upper, 65535);
  Put32(upper, 0);
  return Raw(ends, direction, 6, upper + std::string(data_bytes, 'd'));
}

Packet Udp(const Ends& ends, lat_direction direction, size_t data_bytes) {
  std::string upper;
  Put16(upper, direction == LAT_EGRESS ? ends.local_port : ends.remote_port);
  Put16(upper, direction == LAT_EGRESS ? ends.remote_port : ends.local_port);
  Put16(upper, static_cast<uint32_t>(8 + data_bytes));
  Put16(upper, 0);
  return Raw(ends, direction, 17, upper + std::string(data_bytes, 'd'));
}

Packet Icmp(const Ends& ends, lat_direction direction, uint8_t type, uint16_t id, size_t data_bytes) {
  std::string upper(1, static_cast<char>(type));
  upper.push_back(0);
  Put16(upper, 0);
  Put16(upper, id);
  Put16(upper, 1);
  return Raw(ends, direction, ends.local.is_v4() ? 1 : 58, upper + std::string(data_bytes, 'd'));
}

Packet EchoRequest(const Ends& ends, lat_direction direction, uint16_t id) {
  return Icmp(ends, direction, ends.local.is_v4() ? 8 : 128, id);
}

Packet EchoReply(const Ends& ends, lat_direction direction, uint16_t id) {
  return Icmp(ends, direction, ends.local.is_v4() ? 0 : 129, id);
}

Packet Unreachable(const IpAddress& reporter, const Packet& quoted, size_t quoted_bytes) {
  std::string upper(1, static_cast<char>(quoted.is_v6() ? 1 : 3));
  upper.append(7, '\0');
  Packet packet;
  packet.source = reporter;
  packet.destination = quoted.source;
  packet.protocol = quoted.is_v6() ? 58 : 1;
  packet.upper = upper + quoted.IpBytes().substr(0, quoted_bytes);
  return packet;
}

std::string ArpFrame() {
  std::string out("\xff\xff\xff\xff\xff\xff\x02\0\0\0\0\1\x08\x06\0\1\x08\0\6\4\0\1", 22);
  return out + std::string(20, '\0');
}

Packet Fragment(const Packet& whole, uint16_t id, size_t offset, size_t bytes) {
  Packet packet = whole;
  const bool more = offset + bytes < whole.upper.size();
  packet.upper = whole.upper.substr(offset, bytes);
  if (whole.is_v6()) {
    packet.extensions.push_back(FragmentHeader(static_cast<uint16_t>(offset), more, id));
  } else {
    packet.id = id;
    packet.fragment_offset = static_cast<uint16_t>(offset);
    packet.more_fragments = more;
  }
  return packet;
}

lat_flow6_key FlowKey(const Ends& ends, uint8_t protocol, lat_scope scope) {
  lat_flow6_key key = {};
  std::memcpy(key.local, ends.local.bytes().data(), 16);
  std::memcpy(key.remote, ends.remote.bytes().data(), 16);
  key.local_port = ends.local_port;
  key.remote_port = ends.remote_port;
  key.proto = protocol;
  key.scope = static_cast<uint8_t>(scope);
  return key;
}

}  // namespace lattice::testing
