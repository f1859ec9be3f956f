#include "userspace/base/ip.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/status.h"

namespace lattice {
namespace {

constexpr uint8_t kV4Mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

uint64_t Load64(const uint8_t* bytes) {
  uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | bytes[i];
  return value;
}

std::array<uint8_t, 16> Mask(std::array<uint8_t, 16> bytes, int bits) {
  for (int i = 0; i < 16; ++i) {
    const int keep = std::clamp(bits - 8 * i, 0, 8);
    bytes[i] = static_cast<uint8_t>(bytes[i] & (0xff00 >> keep));
  }
  return bytes;
}

// Printing is hot where large policies are hashed, and inet_ntop goes through sprintf.
constexpr size_t kMaxText = 40;

char* PrintV4(const uint8_t* bytes, char* out) {
  for (int i = 0; i < 4; ++i) {
    if (i != 0) *out++ = '.';
    out = std::to_chars(out, out + 3, bytes[i]).ptr;
  }
  return out;
}

// RFC 5952: lower case, no leading zeros, "::" for the first longest run of two or more
// zero groups.
char* PrintV6(const uint8_t* bytes, char* out) {
  std::array<unsigned, 8> groups;
  for (int i = 0; i < 8; ++i) groups[i] = unsigned{bytes[2 * i]} << 8 | bytes[2 * i + 1];
  int run_begin = 8;
  int run_end = 8;
  for (int i = 0; i < 8; ++i) {
    int end = i;
    while (end < 8 && groups[end] == 0) ++end;
    if (end - i >= 2 && end - i > run_end - run_begin) {
      run_begin = i;
      run_end = end;
    }
  }
  for (int i = 0; i < 8; ++i) {
    if (i == run_begin) {
      *out++ = ':';
      *out++ = ':';
      i = run_end - 1;
      continue;
    }
    if (i != 0 && i != run_end) *out++ = ':';
    out = std::to_chars(out, out + 4, groups[i], 16).ptr;
  }
  return out;
}

}  // namespace

IpAddress IpAddress::FromV4(std::array<uint8_t, 4> bytes) {
  IpAddress address;
  std::copy(std::begin(kV4Mapped), std::end(kV4Mapped), address.bytes_.begin());
  std::copy(bytes.begin(), bytes.end(), address.bytes_.begin() + 12);
  return address;
}

IpAddress IpAddress::FromV4(uint32_t host_order) {
  return FromV4({static_cast<uint8_t>(host_order >> 24), static_cast<uint8_t>(host_order >> 16),
                 static_cast<uint8_t>(host_order >> 8), static_cast<uint8_t>(host_order)});
}

IpAddress IpAddress::FromBytes(const uint8_t bytes[16]) {
  IpAddress address;
  std::copy(bytes, bytes + 16, address.bytes_.begin());
  return address;
}

absl::StatusOr<IpAddress> IpAddress::Parse(absl::string_view text) {
  const std::string terminated(text);
  if (terminated.find('\0') == std::string::npos) {
    std::array<uint8_t, 4> v4;
    if (inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) return FromV4(v4);
    IpAddress address;
    if (inet_pton(AF_INET6, terminated.c_str(), address.bytes_.data()) == 1) return address;
  }
  return absl::InvalidArgumentError(absl::StrCat("\"", text, "\" is not an IP address"));
}

bool IpAddress::is_v4() const {
  return std::equal(std::begin(kV4Mapped), std::end(kV4Mapped), bytes_.begin());
}

uint32_t IpAddress::v4_host_order() const {
  return uint32_t{bytes_[12]} << 24 | uint32_t{bytes_[13]} << 16 | uint32_t{bytes_[14]} << 8 | bytes_[15];
}

uint64_t IpAddress::high64() const {
  return Load64(bytes_.data());
}

uint64_t IpAddress::low64() const {
  return Load64(bytes_.data() + 8);
}

std::string IpAddress::ToString() const {
  char text[kMaxText];
  const char* const end = is_v4() ? PrintV4(bytes_.data() + 12, text) : PrintV6(bytes_.data(), text);
  return std::string(text, end - text);
}

IpPrefix::IpPrefix(IpAddress address, int length) : length_(length), v4_(address.is_v4()) {
  address_ = IpAddress::FromBytes(Mask(address.bytes(), length128()).data());
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(absl::string_view text, bool* had_host_bits) {
  const size_t slash = text.find('/');
  LATTICE_ASSIGN_OR_RETURN(const IpAddress address, IpAddress::Parse(text.substr(0, slash)));
  const int longest = address.is_v4() ? 32 : 128;
  int length = longest;
  if (slash != absl::string_view::npos) {
    const absl::string_view digits = text.substr(slash + 1);
    const bool plain =
        !digits.empty() && std::all_of(digits.begin(), digits.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!plain || !absl::SimpleAtoi(digits, &length) || length > longest) {
      return absl::InvalidArgumentError(
          absl::StrCat("prefix length \"", digits, "\" of \"", text, "\": expected 0 to ", longest));
    }
  }
  const IpPrefix prefix(address, length);
  if (had_host_bits != nullptr) *had_host_bits = prefix.address() != address;
  return prefix;
}

bool IpPrefix::Contains(const IpAddress& address) const {
  if (address.is_v4() != v4_) return false;
  return Mask(address.bytes(), length128()) == address_.bytes();
}

std::string IpPrefix::ToString() const {
  return absl::StrCat(address_.ToString(), "/", length_);
}

}  // namespace lattice
