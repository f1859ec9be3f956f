#include "userspace/control/registry/identity.h"

#include <algorithm>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "userspace/base/ip.h"
#include "userspace/control/registry/encoding.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxName = 63;
constexpr size_t kKeyBytes = 32;

bool IsHostName(absl::string_view host) {
  return !host.empty() && host.size() <= 253 && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

absl::Status CheckName(absl::string_view what, absl::string_view name) {
  const bool letters = std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
  });
  const bool begins = !name.empty() && absl::ascii_isalnum(static_cast<unsigned char>(name[0]));
  if (letters && begins && name.size() <= kMaxName && !absl::EndsWith(name, ".") && !absl::StrContains(name, "..")) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, " \"", absl::CHexEscape(name.substr(0, 80)), "\": expected 1 to ", kMaxName,
                   " letters, digits and ._- , beginning with a letter or digit, no \".\" at the end or twice"));
}

absl::Status CheckPublicKey(absl::string_view key) {
  const std::optional<std::string> bytes = FromBase64(key);
  if (bytes.has_value() && bytes->size() == kKeyBytes && *bytes != std::string(kKeyBytes, '\0')) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("publicKey: expected a WireGuard public key, 44 characters of base64");
}

uint64_t PeerId(absl::string_view public_key) {
  const std::optional<std::string> bytes = FromBase64(public_key);
  if (!bytes.has_value() || bytes->size() < sizeof(uint64_t)) return 0;
  uint64_t id = 0;
  for (size_t i = 0; i < sizeof(id); ++i) id = id << 8 | static_cast<unsigned char>((*bytes)[i]);
  return id;
}

absl::Status CheckEndpoint(absl::string_view endpoint) {
  const absl::Status error = absl::InvalidArgumentError(
      absl::StrCat("endpoint \"", absl::CHexEscape(endpoint.substr(0, 80)), "\": expected HOST:PORT or [IPV6]:PORT"));
  const size_t colon = endpoint.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos) return error;
  const absl::string_view digits = endpoint.substr(colon + 1);
  // SimpleAtoi takes blanks around the number, and signs.
  const auto is_digit = [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); };
  if (!std::all_of(digits.begin(), digits.end(), is_digit) || !absl::SimpleAtoi(digits, &port)) return error;
  if (port == 0 || port > 65535) return error;
  absl::string_view host = endpoint.substr(0, colon);
  if (absl::StartsWith(host, "[") && absl::EndsWith(host, "]")) {
    const absl::StatusOr<IpAddress> address = IpAddress::Parse(host.substr(1, host.size() - 2));
    return address.ok() && !address->is_v4() ? absl::OkStatus() : error;
  }
  return IsHostName(host) ? absl::OkStatus() : error;
}

std::string ConfigSubject(absl::string_view agent) {
  return absl::StrCat(kConfigSubjectOfAll, ".", agent);
}

}  // namespace lattice::control
