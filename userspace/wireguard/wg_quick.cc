#include "userspace/wireguard/wg_quick.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"

namespace lattice::wireguard {
namespace {

// A value in a message: whole if it is short, on one line.
std::string Shown(absl::string_view value) {
  constexpr size_t kShown = 80;
  return absl::StrCat("\"", absl::CEscape(value.substr(0, kShown)), value.size() > kShown ? "..." : "", "\"");
}

absl::Status Invalid(absl::string_view value, absl::string_view expected) {
  return absl::InvalidArgumentError(absl::StrCat(Shown(value), ": expected ", expected));
}

absl::StatusOr<uint32_t> Number(absl::string_view value, uint32_t least, uint32_t most) {
  uint32_t number = 0;
  const bool digits = !value.empty() && std::all_of(value.begin(), value.end(), absl::ascii_isdigit);
  if (!digits || !absl::SimpleAtoi(value, &number) || number < least || number > most) {
    return Invalid(value, absl::StrCat("a number from ", least, " to ", most));
  }
  return number;
}

// Calls `each` for the words between commas; none in an empty value.
absl::Status ForEachWord(absl::string_view value, const std::function<absl::Status(absl::string_view)>& each) {
  if (value.empty()) return absl::OkStatus();
  for (const absl::string_view word : absl::StrSplit(value, ',')) {
    LATTICE_RETURN_IF_ERROR(each(absl::StripAsciiWhitespace(word)));
  }
  return absl::OkStatus();
}

bool IsHostName(absl::string_view name) {
  constexpr size_t kLongest = 253;
  return !name.empty() && name.size() <= kLongest && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
         });
}

// What the name of a key looks like.
bool IsWord(absl::string_view name) {
  constexpr size_t kLongest = 32;
  return !name.empty() && name.size() <= kLongest && std::all_of(name.begin(), name.end(), absl::ascii_isalnum);
}

absl::StatusOr<WgQuickAddress> ParseAddress(absl::string_view word) {
  const auto slash = word.find('/');
  const auto address = IpAddress::Parse(word.substr(0, slash));
  if (!address.ok()) return Invalid(word, "an address such as 10.0.0.2/24 or fd00::2/64");
  const int bits = address->is_v4() ? 32 : 128;
  int length = bits;
  if (slash != absl::string_view::npos) {
    const auto number = Number(word.substr(slash + 1), 0, static_cast<uint32_t>(bits));
    if (!number.ok()) return Invalid(word, absl::StrCat("a prefix length of at most ", bits));
    length = static_cast<int>(*number);
  }
  return WgQuickAddress{.address = *address, .length = length};
}

class Parser {
 public:
  absl::StatusOr<WgQuickConfig> Parse(absl::string_view text) {
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      ++line_;
      LATTICE_RETURN_IF_ERROR(
          Annotate(Line(absl::StripAsciiWhitespace(line.substr(0, line.find('#')))), absl::StrCat("line ", line_)));
    }
    LATTICE_RETURN_IF_ERROR(EndSection());
    if (interface_line_ == 0) return absl::InvalidArgumentError("no [Interface] section: add one with a PrivateKey");
    return std::move(config_);
  }

 private:
  absl::Status Line(absl::string_view line) {
    if (line.empty()) return absl::OkStatus();
    if (line.front() == '[') return Section(line);
    if (section_ == kNone) return absl::InvalidArgumentError("before any section: begin with [Interface]");
    const auto equals = line.find('=');
    const absl::string_view name = absl::StripAsciiWhitespace(line.substr(0, equals));
    if (equals == absl::string_view::npos || !IsWord(name)) {
      // Not shown: it may be a key, which ends with '='.
      return absl::InvalidArgumentError("expected a line `Key = value`, a section, or a comment after #");
    }
    const absl::string_view value = absl::StripAsciiWhitespace(line.substr(equals + 1));
    const std::string key = absl::AsciiStrToLower(name);
    return Annotate(section_ == kInterface ? InterfaceKey(key, value) : PeerKey(key, value), name);
  }

  absl::Status Section(absl::string_view line) {
    LATTICE_RETURN_IF_ERROR(EndSection());
    section_line_ = line_;
    seen_.clear();
    if (absl::EqualsIgnoreCase(line, "[interface]")) {
      if (interface_line_ != 0) {
        return absl::InvalidArgumentError(absl::StrCat("a second [Interface]: the first is at line ", interface_line_));
      }
      section_ = kInterface;
      interface_line_ = line_;
      return absl::OkStatus();
    }
    if (!absl::EqualsIgnoreCase(line, "[peer]")) return Invalid(line, "[Interface] or [Peer]");
    section_ = kPeer;
    config_.peers.emplace_back();
    return absl::OkStatus();
  }

  // What a section must have.
  absl::Status EndSection() {
    if (section_ == kInterface && !seen_.contains("privatekey")) {
      return absl::InvalidArgumentError(
          absl::StrCat("the [Interface] of line ", section_line_, " has no PrivateKey: make one with `wg genkey`"));
    }
    if (section_ == kPeer && !seen_.contains("publickey")) {
      return absl::InvalidArgumentError(absl::StrCat("the [Peer] of line ", section_line_, " has no PublicKey"));
    }
    return absl::OkStatus();
  }

  // Keys that are no list may come once.
  absl::Status Once(const std::string& key) {
    const auto [it, first] = seen_.try_emplace(key, line_);
    if (first) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("given twice, first at line ", it->second));
  }

  absl::Status InterfaceKey(const std::string& key, absl::string_view value) {
    if (key == "address") {
      return ForEachWord(value, [&](absl::string_view word) -> absl::Status {
        LATTICE_ASSIGN_OR_RETURN(const WgQuickAddress address, ParseAddress(word));
        config_.addresses.push_back(address);
        return absl::OkStatus();
      });
    }
    if (key == "dns") return ForEachWord(value, [&](absl::string_view word) { return Dns(word); });
    for (const char* hook : {"preup", "postup", "predown", "postdown"}) {
      if (key == hook)
        return absl::InvalidArgumentError("commands of wg-quick files are not run here: take the line out");
    }
    if (key == "saveconfig") return absl::InvalidArgumentError("this file is only read: take the line out");
    if (key == "fwmark") return absl::InvalidArgumentError("packets are not marked here: take the line out");
    LATTICE_RETURN_IF_ERROR(Once(key));
    if (key == "privatekey") {
      LATTICE_ASSIGN_OR_RETURN(config_.private_key, PrivateKey::Parse(value));
      if (config_.private_key.is_zero()) return absl::InvalidArgumentError("all zeros: make one with `wg genkey`");
    } else if (key == "mtu") {
      LATTICE_ASSIGN_OR_RETURN(config_.mtu, Number(value, 576, 65535));
    } else if (key == "listenport") {
      LATTICE_ASSIGN_OR_RETURN(const uint32_t port, Number(value, 0, 65535));
      config_.listen_port = static_cast<uint16_t>(port);
    } else if (key == "table") {
      config_.table = absl::AsciiStrToLower(value);
      if (config_.table != "auto" && config_.table != "off" && !Number(value, 1, UINT32_MAX).ok()) {
        return Invalid(value, "auto, off or the number of a table");
      }
    } else {
      return absl::InvalidArgumentError(
          "unknown in [Interface]: it has PrivateKey, Address, DNS, MTU, ListenPort and Table");
    }
    return absl::OkStatus();
  }

  absl::Status Dns(absl::string_view word) {
    if (const auto address = IpAddress::Parse(word); address.ok()) {
      config_.dns.push_back(*address);
      return absl::OkStatus();
    }
    if (!IsHostName(word)) return Invalid(word, "an address of a name server, or a search domain");
    config_.dns_search.emplace_back(word);
    return absl::OkStatus();
  }

  absl::Status PeerKey(const std::string& key, absl::string_view value) {
    WgQuickPeer& peer = config_.peers.back();
    if (key == "allowedips") {
      return ForEachWord(value, [&](absl::string_view word) -> absl::Status {
        const auto prefix = IpPrefix::Parse(word);
        if (!prefix.ok()) return Invalid(word, "a prefix such as 10.0.0.0/24, 0.0.0.0/0 or ::/0");
        peer.allowed_ips.push_back(*prefix);
        return absl::OkStatus();
      });
    }
    LATTICE_RETURN_IF_ERROR(Once(key));
    if (key == "publickey") {
      LATTICE_ASSIGN_OR_RETURN(peer.public_key, PublicKey::Parse(value));
      const auto [it, first] = peer_lines_.try_emplace(peer.public_key, line_);
      if (!first) {
        return absl::InvalidArgumentError(absl::StrCat("the peer of line ", it->second, " has it: make them one"));
      }
    } else if (key == "presharedkey") {
      LATTICE_ASSIGN_OR_RETURN(peer.preshared_key, PresharedKey::Parse(value));
    } else if (key == "endpoint") {
      LATTICE_ASSIGN_OR_RETURN(peer.endpoint, ParseHostPort(value));
    } else if (key == "persistentkeepalive") {
      if (absl::EqualsIgnoreCase(value, "off")) return absl::OkStatus();
      LATTICE_ASSIGN_OR_RETURN(const uint32_t seconds, Number(value, 0, 65535));
      peer.persistent_keepalive_s = static_cast<uint16_t>(seconds);
    } else {
      return absl::InvalidArgumentError(
          "unknown in [Peer]: it has PublicKey, PresharedKey, AllowedIPs, Endpoint and PersistentKeepalive");
    }
    return absl::OkStatus();
  }

  enum { kNone, kInterface, kPeer } section_ = kNone;
  size_t line_ = 0, section_line_ = 0, interface_line_ = 0;
  absl::flat_hash_map<std::string, size_t> seen_;  // keys of this section, by line
  absl::flat_hash_map<PublicKey, size_t> peer_lines_;
  WgQuickConfig config_;
};

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(absl::string_view value) {
  constexpr char kExpected[] = "HOST:PORT such as vpn.example.com:51820, 192.0.2.1:51820 or [2001:db8::1]:51820";
  const auto colon = value.rfind(':');
  if (colon == absl::string_view::npos) return Invalid(value, kExpected);
  absl::string_view host = value.substr(0, colon);
  const auto port = Number(value.substr(colon + 1), 1, 65535);
  if (!port.ok()) return Invalid(value, kExpected);
  if (absl::ConsumePrefix(&host, "[")) {
    const auto address = absl::ConsumeSuffix(&host, "]") ? IpAddress::Parse(host) : absl::InvalidArgumentError("");
    if (!address.ok() || !absl::StrContains(host, ':')) return Invalid(value, kExpected);
  } else if (!IsHostName(host)) {
    return Invalid(value, kExpected);
  }
  return HostPort{.host = std::string(host), .port = static_cast<uint16_t>(*port)};
}

absl::StatusOr<WgQuickConfig> ParseWgQuick(absl::string_view text) {
  return Parser().Parse(text);
}

}  // namespace lattice::wireguard
