// IP addresses and prefixes. An address is 16 bytes, IPv4 as ::ffff:a.b.c.d, the
// form of include/lattice/abi.h; the text form of an IPv4-mapped address is IPv4.
#ifndef USERSPACE_BASE_IP_H_
#define USERSPACE_BASE_IP_H_

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace lattice {

class IpAddress {
 public:
  IpAddress() : bytes_{} {}  // ::
  static IpAddress FromV4(std::array<uint8_t, 4> bytes);
  static IpAddress FromV4(uint32_t host_order);
  static IpAddress FromBytes(const uint8_t bytes[16]);
  // "192.0.2.1", "2001:db8::1"; no zone, no port. InvalidArgument otherwise.
  static absl::StatusOr<IpAddress> Parse(absl::string_view text);

  bool is_v4() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }
  uint32_t v4_host_order() const;  // of an IPv4 address
  uint64_t high64() const;         // bytes 0-7 as a number
  uint64_t low64() const;          // bytes 8-15
  std::string ToString() const;    // RFC 5952

  auto operator<=>(const IpAddress&) const = default;

 private:
  std::array<uint8_t, 16> bytes_;
};

class IpPrefix {
 public:
  IpPrefix() = default;
  // `length` counts bits of the address's own family: 0-32 or 0-128. Host bits are cleared.
  IpPrefix(IpAddress address, int length);
  // "192.0.2.0/24", "2001:db8::/32", a bare address is a host prefix. `had_host_bits`
  // (optional) tells whether bits were cleared.
  static absl::StatusOr<IpPrefix> Parse(absl::string_view text, bool* had_host_bits = nullptr);

  const IpAddress& address() const { return address_; }
  int length() const { return length_; }
  int length128() const { return v4_ ? 96 + length_ : length_; }  // in the 16-byte form
  bool is_v4() const { return v4_; }
  bool Contains(const IpAddress& address) const;  // other family: false
  std::string ToString() const;                   // always with the length

  auto operator<=>(const IpPrefix&) const = default;

 private:
  IpAddress address_;
  int length_ = 0;
  // Not derived: ::/0 and ::ffff:0:0/96 differ from 0.0.0.0/0 only here.
  bool v4_ = false;
};

}  // namespace lattice

#endif  // USERSPACE_BASE_IP_H_
