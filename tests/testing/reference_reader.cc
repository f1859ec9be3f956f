#include "tests/testing/reference_reader.h"

#include <array>
#include <cstring>

namespace lattice::testing {
namespace {

// Reads from the front, and remembers that it asked for more than there was.
class Bytes {
 public:
  explicit Bytes(absl::string_view bytes) : bytes_(bytes) {}

  absl::string_view Take(size_t count) {
    if (count > bytes_.size()) {
      short_ = true;
      count = bytes_.size();
    }
    const absl::string_view taken = bytes_.substr(0, count);
    bytes_.remove_prefix(count);
    return taken;
  }
  uint32_t Number(size_t count) {
    uint32_t number = 0;
    for (const char byte : Take(count)) number = number << 8 | static_cast<uint8_t>(byte);
    return number;
  }
  bool ok() const { return !short_; }
  size_t size() const { return bytes_.size(); }

 private:
  absl::string_view bytes_;
  bool short_ = false;
};

IpAddress Address(absl::string_view bytes) {
  std::array<uint8_t, 16> all{};
  if (bytes.size() == 4) all[10] = all[11] = 0xff;
  std::memcpy(all.data() + 16 - bytes.size(), bytes.data(), bytes.size());
  return IpAddress::FromBytes(all.data());
}

// RFC 9293 3.1, RFC 768, RFC 792, RFC 4443. `more`: a first fragment, whose datagram is
// longer than `bytes`.
std::optional<ReadPacket> ReadUpper(ReadPacket packet, bool v6, absl::string_view bytes, bool more) {
  Bytes upper(bytes);
  if (packet.protocol == 6) {
    upper.Take(2);
    packet.port = static_cast<uint16_t>(upper.Number(2));
    upper.Take(8);
    const size_t header = (upper.Number(1) >> 4) * 4;
    upper.Take(7);
    if (!upper.ok() || header < 20 || header > bytes.size()) return std::nullopt;
  } else if (packet.protocol == 17) {
    upper.Take(2);
    packet.port = static_cast<uint16_t>(upper.Number(2));
    const size_t length = upper.Number(2);
    upper.Take(2);
    if (!upper.ok() || length < 8 || (!more && length > bytes.size())) return std::nullopt;
  } else if (packet.protocol == (v6 ? 58 : 1)) {
    upper.Take(8);
    if (!upper.ok()) return std::nullopt;
  }
  return packet;
}

// RFC 791 3.1.
std::optional<ReadPacket> ReadIpv4(absl::string_view bytes) {
  Bytes ip(bytes);
  const size_t header = (ip.Number(1) & 15) * 4;
  ip.Take(1);
  const size_t total = ip.Number(2);
  ip.Take(2);
  const uint32_t fragment = ip.Number(2);
  ip.Take(1);
  ReadPacket packet;
  packet.protocol = static_cast<uint8_t>(ip.Number(1));
  ip.Take(6);
  const absl::string_view destination = ip.Take(4);
  if (!ip.ok() || header < 20 || total < header || total > bytes.size()) return std::nullopt;
  if ((fragment & 0x1fff) != 0) return std::nullopt;
  packet.remote = Address(destination);
  Bytes options(bytes.substr(20, header - 20));
  while (options.size() > 0) {
    const uint32_t kind = options.Number(1);
    if (kind == 0) break;
    if (kind == 1) continue;
    const uint32_t length = options.Number(1);
    if (kind == 131 || kind == 137 || !options.ok() || length < 2) return std::nullopt;
    options.Take(length - 2);
    if (!options.ok()) return std::nullopt;
  }
  return ReadUpper(packet, false, bytes.substr(header, total - header), (fragment & 0x2000) != 0);
}

// RFC 8200 4, RFC 4302 for the authentication header.
std::optional<ReadPacket> ReadIpv6(absl::string_view bytes) {
  Bytes ip(bytes);
  ip.Take(4);
  const size_t payload = ip.Number(2);
  ReadPacket packet;
  packet.protocol = static_cast<uint8_t>(ip.Number(1));
  ip.Take(1 + 16);
  const absl::string_view destination = ip.Take(16);
  if (!ip.ok() || payload > ip.size()) return std::nullopt;
  packet.remote = Address(destination);
  absl::string_view rest = bytes.substr(40, payload);
  bool more = false;
  for (;;) {
    const uint8_t kind = packet.protocol;
    if (kind == 135 || kind == 139 || kind == 140 || kind == 253 || kind == 254) return std::nullopt;
    if (kind != 0 && kind != 43 && kind != 44 && kind != 51 && kind != 60) break;
    Bytes header(rest);
    packet.protocol = static_cast<uint8_t>(header.Number(1));
    const uint32_t length_field = header.Number(1);
    const uint32_t third = header.Number(1), fourth = header.Number(1);
    header.Take(4);
    const size_t length = kind == 44 ? 8 : kind == 51 ? (length_field + 2) * 4 : (length_field + 1) * 8;
    if (!header.ok() || length > rest.size()) return std::nullopt;
    if (kind == 43 && fourth != 0) return std::nullopt;
    if (kind == 44 && ((third << 8 | fourth) & 0xfff8) != 0) return std::nullopt;
    if (kind == 44) more = (fourth & 1) != 0;
    rest.remove_prefix(length);
  }
  return ReadUpper(packet, true, rest, more);
}

}  // namespace

std::optional<ReadPacket> ReadAsSent(absl::string_view packet) {
  if (packet.empty()) return std::nullopt;
  switch (static_cast<uint8_t>(packet[0]) >> 4) {
    case 4:
      return ReadIpv4(packet);
    case 6:
      return ReadIpv6(packet);
    default:
      return std::nullopt;
  }
}

}  // namespace lattice::testing
