#include "userspace/tunnel/uapi.h"

#include <glog/logging.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "userspace/base/status.h"

namespace lattice::tunnel {
namespace {

absl::Status Bad(absl::string_view key, absl::string_view want) {
  return absl::InvalidArgumentError(absl::StrCat(key, ": expected ", want));
}

// Strictly digits: absl's parser takes signs and blanks.
template <typename T>
bool ParseNumber(absl::string_view text, T* value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size() && !text.empty();
}

// 64 characters of hex into the 32 bytes at `out`.
bool ParseKey(absl::string_view text, uint8_t* out) {
  if (text.size() != 2 * wireguard::kKeyBytes) return false;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return absl::ascii_isxdigit(static_cast<uint8_t>(c)); })) {
    return false;
  }
  const std::string bytes = absl::HexStringToBytes(text);
  std::copy(bytes.begin(), bytes.end(), out);
  return true;
}

bool ParseEndpoint(absl::string_view text, Endpoint* endpoint) {
  const size_t colon = text.rfind(':');
  if (colon == absl::string_view::npos || !ParseNumber(text.substr(colon + 1), &endpoint->port)) return false;
  absl::string_view host = text.substr(0, colon);
  const bool brackets = absl::ConsumePrefix(&host, "[") && absl::ConsumeSuffix(&host, "]");
  const size_t zone = host.find('%');
  if (zone != absl::string_view::npos) {
    if (!brackets || !ParseNumber(host.substr(zone + 1), &endpoint->scope)) return false;
    host = host.substr(0, zone);
  }
  const auto address = IpAddress::Parse(host);
  if (!address.ok() || address->is_v4() == brackets) return false;
  endpoint->address = *address;
  return true;
}

absl::Status SetOfPeer(absl::string_view key, absl::string_view value, UapiPeer* peer) {
  if (key == "remove" || key == "update_only" || key == "replace_allowed_ips") {
    if (value != "true") return Bad(key, "true");
    (key == "remove" ? peer->remove : key == "update_only" ? peer->update_only : peer->replace_allowed_ips) = true;
  } else if (key == "preshared_key") {
    if (!ParseKey(value, peer->preshared_key.emplace().data())) return Bad(key, "64 hexadecimal digits");
  } else if (key == "endpoint") {
    if (!ParseEndpoint(value, &peer->endpoint.emplace())) return Bad(key, "IPv4:PORT or [IPv6]:PORT");
  } else if (key == "persistent_keepalive_interval") {
    if (!ParseNumber(value, &peer->persistent_keepalive_s.emplace())) return Bad(key, "0 to 65535 seconds");
  } else if (key == "allowed_ip") {
    const auto prefix = IpPrefix::Parse(value);
    if (!prefix.ok()) return Bad(key, "an address with a prefix length");
    peer->allowed_ips.push_back(*prefix);
  } else if (key == "protocol_version") {
    if (value != "1") return Bad(key, "1");
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown key of a peer: ", absl::CHexEscape(key)));
  }
  return absl::OkStatus();
}

absl::Status SetOfDevice(absl::string_view key, absl::string_view value, UapiChange* change) {
  if (key == "private_key") {
    if (!ParseKey(value, change->private_key.emplace().data())) return Bad(key, "64 hexadecimal digits");
  } else if (key == "listen_port") {
    if (!ParseNumber(value, &change->listen_port.emplace())) return Bad(key, "0 to 65535");
  } else if (key == "fwmark") {
    if (!ParseNumber(value, &change->mark.emplace())) return Bad(key, "a 32-bit number");
  } else if (key == "replace_peers") {
    if (value != "true") return Bad(key, "true");
    change->replace_peers = true;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("unknown key: ", absl::CHexEscape(key)));
  }
  return absl::OkStatus();
}

absl::Status ApplyPeer(const UapiPeer& change, Tunnel& tunnel) {
  const auto known = tunnel.peers().find(change.public_key);
  if (change.remove) {
    // One that is not there is removed already.
    return known == tunnel.peers().end() ? absl::OkStatus() : tunnel.RemovePeer(change.public_key);
  }
  if (change.update_only && known == tunnel.peers().end()) return absl::OkStatus();
  wireguard::PeerConfig peer = known == tunnel.peers().end() ? wireguard::PeerConfig{} : known->second;
  peer.public_key = change.public_key;
  // Where it has roamed to stays, not where it was configured.
  peer.endpoint = change.endpoint;
  if (change.preshared_key.has_value()) peer.preshared_key = *change.preshared_key;
  if (change.persistent_keepalive_s.has_value()) peer.persistent_keepalive_s = *change.persistent_keepalive_s;
  if (change.replace_allowed_ips) peer.allowed_ips.clear();
  for (const IpPrefix& prefix : change.allowed_ips) {
    if (std::find(peer.allowed_ips.begin(), peer.allowed_ips.end(), prefix) == peer.allowed_ips.end()) {
      peer.allowed_ips.push_back(prefix);
    }
  }
  return tunnel.SetPeer(peer);
}

std::string Hex(const uint8_t* key) {
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<const char*>(key), wireguard::kKeyBytes));
}

void AppendPeer(const wireguard::PeerConfig& config, const wireguard::PeerStatus* status, std::string* out) {
  absl::StrAppend(out, "public_key=", Hex(config.public_key.bytes.data()), "\n");
  absl::StrAppend(out, "preshared_key=", Hex(config.preshared_key.data()), "\nprotocol_version=1\n");
  const auto& endpoint = status != nullptr ? status->endpoint : config.endpoint;
  if (endpoint.has_value()) absl::StrAppend(out, "endpoint=", endpoint->ToString(), "\n");
  absl::Duration handshake;
  if (status != nullptr && status->last_handshake != absl::InfinitePast()) {
    handshake = status->last_handshake - absl::UnixEpoch();
  }
  const int64_t seconds = absl::IDivDuration(handshake, absl::Seconds(1), &handshake);
  absl::StrAppend(out, "last_handshake_time_sec=", seconds, "\n");
  absl::StrAppend(out, "last_handshake_time_nsec=", absl::ToInt64Nanoseconds(handshake), "\n");
  absl::StrAppend(out, "tx_bytes=", status == nullptr ? 0 : status->tx_bytes, "\n");
  absl::StrAppend(out, "rx_bytes=", status == nullptr ? 0 : status->rx_bytes, "\n");
  absl::StrAppend(out, "persistent_keepalive_interval=", config.persistent_keepalive_s, "\n");
  for (const IpPrefix& prefix : config.allowed_ips) absl::StrAppend(out, "allowed_ip=", prefix.ToString(), "\n");
}

}  // namespace

absl::StatusOr<UapiChange> ParseUapiChange(absl::string_view lines) {
  UapiChange change;
  int number = 1;  // "set=1" was the first
  for (const absl::string_view line : absl::StrSplit(lines, '\n', absl::SkipEmpty())) {
    ++number;
    const std::pair<absl::string_view, absl::string_view> entry = absl::StrSplit(line, absl::MaxSplits('=', 1));
    const auto [key, value] = entry;
    absl::Status status;
    if (key == "public_key") {
      if (!ParseKey(value, change.peers.emplace_back().public_key.bytes.data())) {
        status = Bad(key, "64 hexadecimal digits");
      }
    } else {
      status = change.peers.empty() ? SetOfDevice(key, value, &change) : SetOfPeer(key, value, &change.peers.back());
    }
    if (!status.ok()) return Annotate(status, absl::StrCat("line ", number));
  }
  return change;
}

absl::Status ApplyUapiChange(const UapiChange& change, Tunnel& tunnel) {
  if (change.mark.has_value()) LATTICE_RETURN_IF_ERROR(tunnel.SetMark(*change.mark));
  if (change.listen_port.has_value()) LATTICE_RETURN_IF_ERROR(tunnel.SetListenPort(*change.listen_port));
  if (change.private_key.has_value()) LATTICE_RETURN_IF_ERROR(tunnel.SetPrivateKey(*change.private_key));
  if (change.replace_peers) {
    while (!tunnel.peers().empty()) LATTICE_RETURN_IF_ERROR(tunnel.RemovePeer(tunnel.peers().begin()->first));
  }
  for (const UapiPeer& peer : change.peers) LATTICE_RETURN_IF_ERROR(ApplyPeer(peer, tunnel));
  return absl::OkStatus();
}

std::string FormatUapiState(const Tunnel& tunnel) {
  std::string out;
  if (tunnel.private_key().has_value()) {
    absl::StrAppend(&out, "private_key=", Hex(tunnel.private_key()->data()), "\n");
  }
  absl::StrAppend(&out, "listen_port=", tunnel.port(), "\n");
  if (tunnel.mark() != 0) absl::StrAppend(&out, "fwmark=", tunnel.mark(), "\n");
  std::map<wireguard::PublicKey, wireguard::PeerStatus> statuses;
  if (tunnel.device() != nullptr) {
    for (wireguard::PeerStatus& status : tunnel.device()->Peers()) statuses[status.public_key] = std::move(status);
  }
  for (const auto& [key, config] : tunnel.peers()) {
    const auto status = statuses.find(key);
    AppendPeer(config, status == statuses.end() ? nullptr : &status->second, &out);
  }
  return out;
}

std::string AnswerUapi(absl::string_view request, Tunnel& tunnel) {
  if (request == "get=1\n\n") return absl::StrCat(FormatUapiState(tunnel), "errno=0\n\n");
  if (!absl::ConsumePrefix(&request, "set=1\n")) return absl::StrCat("errno=", EPROTO, "\n\n");
  const auto change = ParseUapiChange(request);
  const absl::Status status = change.ok() ? ApplyUapiChange(*change, tunnel) : change.status();
  if (!status.ok()) LOG(WARNING) << "configuration refused: " << status.message();
  const int error = status.ok() ? 0 : absl::IsAlreadyExists(status) ? EADDRINUSE : EINVAL;
  return absl::StrCat("errno=", error, "\n\n");
}

}  // namespace lattice::tunnel
