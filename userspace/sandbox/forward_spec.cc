#include "userspace/sandbox/forward_spec.h"

#include <sys/un.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/ip.h"

namespace lattice::sandbox {
namespace {

constexpr char kForm[] = "expected PORT[/udp]:HOST:PORT or PORT:unix:/PATH, like 8080:127.0.0.1:8080";

absl::Status Bad(absl::string_view text, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--forward=", text, ": ", what));
}

// 1 to 65535, in decimal digits alone.
bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number;
  if (text.empty() || text.size() > 5 || !std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) return false;
  if (!absl::SimpleAtoi(text, &number) || number < 1 || number > 65535) return false;
  *port = static_cast<uint16_t>(number);
  return true;
}

bool IsHostName(absl::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
  });
}

}  // namespace

std::string ForwardSpec::ToString() const {
  const std::string from = absl::StrCat(port, udp ? "/udp" : "", ":");
  if (!unix_path.empty()) return absl::StrCat(from, "unix:", unix_path);
  const bool v6 = absl::StrContains(host, ':');
  return absl::StrCat(from, v6 ? "[" : "", host, v6 ? "]" : "", ":", host_port);
}

absl::StatusOr<ForwardSpec> ParseForward(absl::string_view text) {
  ForwardSpec spec;
  const size_t colon = text.find(':');
  if (colon == absl::string_view::npos) return Bad(text, kForm);
  absl::string_view from = text.substr(0, colon);
  absl::string_view to = text.substr(colon + 1);
  if (absl::ConsumeSuffix(&from, "/udp")) {
    spec.udp = true;
  } else {
    absl::ConsumeSuffix(&from, "/tcp");
  }
  if (!ParsePort(from, &spec.port))
    return Bad(text, absl::StrCat("\"", from, "\" is no overlay port from 1 to 65535; ", kForm));
  if (absl::ConsumePrefix(&to, "unix:")) {
    if (spec.udp) return Bad(text, "a Unix socket takes no datagrams of UDP");
    if (!absl::StartsWith(to, "/")) return Bad(text, "the Unix socket's path must begin with /");
    if (to.size() >= sizeof(sockaddr_un::sun_path) || absl::StrContains(to, '\0'))
      return Bad(text, "too long for the path of a Unix socket (107 bytes)");
    spec.unix_path = std::string(to);
    return spec;
  }
  const size_t last = to.rfind(':');
  if (last == absl::string_view::npos) return Bad(text, kForm);
  if (!ParsePort(to.substr(last + 1), &spec.host_port))
    return Bad(text, absl::StrCat("\"", to.substr(last + 1), "\" is no port of this host from 1 to 65535"));
  absl::string_view host = to.substr(0, last);
  if (absl::ConsumePrefix(&host, "[")) {
    const absl::StatusOr<IpAddress> address =
        absl::ConsumeSuffix(&host, "]") ? IpAddress::Parse(host) : absl::InvalidArgumentError("");
    if (!address.ok() || address->is_v4()) return Bad(text, "in brackets an IPv6 address is expected");
  } else if (absl::StrContains(host, ':')) {
    return Bad(text, "an IPv6 address must be in brackets");
  } else if (!IsHostName(host)) {
    return Bad(text, absl::StrCat("\"", host, "\" is no address and no name of a host; ", kForm));
  }
  spec.host = std::string(host);
  return spec;
}

absl::StatusOr<std::vector<ForwardSpec>> ParseForwards(const std::vector<std::string>& texts) {
  std::vector<ForwardSpec> specs;
  for (const std::string& value : texts) {
    for (const absl::string_view text : absl::StrSplit(value, ',')) {
      absl::StatusOr<ForwardSpec> spec = ParseForward(absl::StripAsciiWhitespace(text));
      if (!spec.ok()) return spec.status();
      const bool taken = std::any_of(specs.begin(), specs.end(), [&](const ForwardSpec& other) {
        return other.port == spec->port && other.udp == spec->udp;
      });
      if (taken) return Bad(text, "another --forward has this port");
      specs.push_back(*std::move(spec));
    }
  }
  return specs;
}

}  // namespace lattice::sandbox
