#include "userspace/socks/target.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/endpoint.h"

namespace lattice::socks {
namespace {

// RFC 1035 2.3.4: 255 bytes on the wire are 253 of text.
constexpr size_t kLongestName = 253;
constexpr size_t kLongestLabel = 63;

bool IsLabel(absl::string_view label) {
  return !label.empty() && label.size() <= kLongestLabel && std::all_of(label.begin(), label.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
}

bool IsName(absl::string_view name) {
  if (name.size() > kLongestName) return false;
  const auto labels = absl::StrSplit(name, '.');
  return std::all_of(labels.begin(), labels.end(), IsLabel);
}

// In a message: whole if it is short, on one line.
std::string Shown(absl::string_view text) {
  constexpr size_t kShown = 80;
  return absl::StrCat("\"", absl::CEscape(text.substr(0, kShown)), text.size() > kShown ? "..." : "", "\"");
}

}  // namespace

std::string Target::ToString() const {
  return address.has_value() ? Endpoint{.address = *address, .port = port}.ToString() : absl::StrCat(name, ":", port);
}

absl::StatusOr<Target> ParseHost(absl::string_view host, uint16_t port) {
  const absl::string_view bare = absl::StripSuffix(host, ".");
  const bool bracketed = bare.size() > 2 && bare.front() == '[' && bare.back() == ']';
  const absl::string_view literal = bracketed ? bare.substr(1, bare.size() - 2) : bare;
  // Brackets are for IPv6 alone; one that is IPv4-mapped counts.
  if (!bracketed || literal.find(':') != absl::string_view::npos) {
    const auto address = IpAddress::Parse(literal);
    if (address.ok()) return Target{.address = *address, .name = "", .port = port};
  }
  if (!IsName(bare))
    return absl::InvalidArgumentError(absl::StrCat(Shown(host), " is neither a host name nor an address"));
  return Target{.address = std::nullopt, .name = std::string(bare), .port = port};
}

absl::StatusOr<Target> ParseHostPort(absl::string_view text, uint16_t default_port) {
  // Behind the brackets, if there are some: the colons inside are the address's.
  const size_t closing = !text.empty() && text.front() == '[' ? text.find(']') : 0;
  const size_t colon = closing == absl::string_view::npos ? closing : text.find(':', closing);
  const absl::string_view digits = colon == absl::string_view::npos ? "" : text.substr(colon + 1);
  uint32_t port = default_port;
  if (!digits.empty()) {
    constexpr size_t kMostDigits = 5;
    const bool plain = digits.size() <= kMostDigits && std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit);
    if (!plain || !absl::SimpleAtoi(digits, &port) || port == 0 || port > UINT16_MAX) {
      return absl::InvalidArgumentError(
          absl::StrCat("port ", Shown(digits), " of ", Shown(text), ": expected 1 to ", UINT16_MAX));
    }
  }
  if (port == 0) return absl::InvalidArgumentError(absl::StrCat(Shown(text), " has no port: expected HOST:PORT"));
  return ParseHost(text.substr(0, colon), static_cast<uint16_t>(port));
}

}  // namespace lattice::socks
