#include "userspace/control/registry/netmap.h"

#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/jwt.h"
#include "userspace/control/registry/wire_json.h"
#include "userspace/policy/policy_file.h"

namespace lattice::control {
namespace {

constexpr int kJoinNetwork = 0;
// NATS carries 1 MiB unless it is told otherwise.
constexpr size_t kMaxNetMapBytes = 8 << 20;
// computedrules have one number for a port: a longer range is not spelled out.
constexpr int kMaxSpelledPorts = 64;

nlohmann::json PeerJson(const Agent& agent) {
  nlohmann::json peer = {{"name", agent.name},
                         {"NetworkId", agent.name_space},
                         {"platform", agent.platform},
                         {"hostname", agent.hostname},
                         {"appId", agent.app_id},
                         {"port", agent.port},
                         {"persistentKeepalive", agent.keepalive_seconds},
                         {"publicKey", agent.public_key},
                         {"peerId", PeerId(agent.public_key)},
                         {"labels", nlohmann::json::object()}};
  if (!agent.address.empty()) {
    peer["address"] = agent.address;
    peer["allowedIps"] = absl::StrCat(agent.address, "/32");
  }
  if (!agent.endpoint.empty()) peer["endpoint"] = agent.endpoint;
  return peer;
}

std::vector<std::string> ProtocolsOf(const policy::Rule& rule) {
  if (rule.protocols == policy::ProtocolMatch::kTcpUdp) return {"tcp", "udp"};
  if (rule.protocols == policy::ProtocolMatch::kAny) return {""};
  switch (rule.protocol) {
    case 1:
    case 58:
      return {"icmp"};
    case 6:
      return {"tcp"};
    case 17:
      return {"udp"};
    default:
      return {absl::StrCat(static_cast<int>(rule.protocol))};
  }
}

// 0 is every port. Nothing: upstream's form can not say it.
std::optional<std::vector<int>> PortsOf(const policy::Rule& rule) {
  if (rule.ports.empty()) return std::vector<int>{0};
  std::vector<int> ports;
  for (const policy::PortRange& range : rule.ports) {
    for (int port = range.first; port <= range.last; ++port) {
      if (ports.size() == kMaxSpelledPorts) return std::nullopt;
      ports.push_back(port);
    }
  }
  return ports;
}

// `rules` in upstream's form; where that is too narrow, with less allowed and more denied.
nlohmann::json TrafficRules(const std::vector<policy::Rule>& rules, bool deny, const char* chain) {
  nlohmann::json list = nlohmann::json::array();
  for (const policy::Rule& rule : rules) {
    if (rule.deny != deny) continue;
    std::optional<std::vector<int>> ports = PortsOf(rule);
    if (!ports.has_value()) {
      if (!deny) continue;
      ports = std::vector<int>{0};
    }
    for (const std::string& protocol : ProtocolsOf(rule)) {
      for (const int port : *ports) {
        nlohmann::json entry = {
            {"chainName", chain}, {"peers", {rule.prefix.ToString()}}, {"action", deny ? "DROP" : "ACCEPT"}};
        if (!protocol.empty()) entry["protocol"] = protocol;
        if (port != 0) entry["port"] = port;
        list.push_back(std::move(entry));
      }
    }
  }
  return list;
}

nlohmann::json ComputedRules(const AgentPolicy& policy) {
  const absl::StatusOr<policy::PolicyFile> file = policy::ParsePolicyFile(absl::StrJoin(policy.rules, "\n"), "rule");
  nlohmann::json computed = {{"platform", "linux"}, {"policyName", "lattice"}};
  for (const bool egress : {true, false}) {
    const char* chain = egress ? "LATTICE-EGRESS" : "LATTICE-INGRESS";
    nlohmann::json list = nlohmann::json::array();
    if (file.ok()) {
      const std::vector<policy::Rule>& rules = egress ? file->egress : file->ingress;
      // Deny wins over allow, and upstream takes the first that matches.
      list = TrafficRules(rules, /*deny=*/true, chain);
      for (nlohmann::json& entry : TrafficRules(rules, /*deny=*/false, chain)) list.push_back(std::move(entry));
    }
    if (egress) list.push_back({{"chainName", chain}, {"peers", {"0.0.0.0/0"}}, {"action", "DROP"}});
    computed[egress ? "egress" : "ingress"] = std::move(list);
  }
  return computed;
}

absl::StatusOr<PeerConfig> ReadPeer(const nlohmann::json& json) {
  const WireFields fields{json};
  PeerConfig peer;
  LATTICE_ASSIGN_OR_RETURN(peer.name, fields.Text("name"));
  LATTICE_ASSIGN_OR_RETURN(peer.public_key, fields.Text("publicKey"));
  LATTICE_RETURN_IF_ERROR(CheckPublicKey(peer.public_key));
  LATTICE_ASSIGN_OR_RETURN(peer.endpoint, fields.Text("endpoint"));
  if (!peer.endpoint.empty()) LATTICE_RETURN_IF_ERROR(CheckEndpoint(peer.endpoint));
  LATTICE_ASSIGN_OR_RETURN(const int64_t keepalive, fields.Number("persistentKeepalive", 0, 65535));
  peer.keepalive_seconds = static_cast<int>(keepalive);
  LATTICE_ASSIGN_OR_RETURN(const std::string allowed, fields.Text("allowedIps", 4096));
  for (absl::string_view text : absl::StrSplit(allowed, ',', absl::SkipWhitespace())) {
    LATTICE_ASSIGN_OR_RETURN(const IpPrefix prefix, IpPrefix::Parse(absl::StripAsciiWhitespace(text)));
    peer.allowed_ips.push_back(prefix);
  }
  if (peer.allowed_ips.empty()) return absl::InvalidArgumentError("no allowedIps");
  return peer;
}

absl::Status ReadPeers(const nlohmann::json& json, AgentConfig* config, std::vector<std::string>* warnings) {
  const auto peers = json.find("computedpeers");
  if (peers == json.end() || peers->is_null()) return absl::OkStatus();
  if (!peers->is_array()) return absl::InvalidArgumentError("\"computedpeers\": expected a list");
  for (const nlohmann::json& entry : *peers) {
    if (!entry.is_object()) return absl::InvalidArgumentError("\"computedpeers\": expected objects");
    absl::StatusOr<PeerConfig> peer = ReadPeer(entry);
    if (peer.ok()) {
      config->peers.push_back(*std::move(peer));
    } else {
      warnings->push_back(absl::StrCat("peer ", config->peers.size(), " is left out: ", peer.status().message()));
    }
  }
  return absl::OkStatus();
}

// A rule of upstream's as lines of a policy file.
absl::Status ReadTrafficRule(const nlohmann::json& json, const char* direction, std::vector<std::string>* rules) {
  const WireFields fields{json};
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> peers, fields.Texts("peers", 4096));
  LATTICE_ASSIGN_OR_RETURN(std::string protocol, fields.Text("protocol"));
  LATTICE_ASSIGN_OR_RETURN(const int64_t port, fields.Number("port", 0, 65535));
  LATTICE_ASSIGN_OR_RETURN(const std::string action, fields.Text("action"));
  const bool deny = absl::EqualsIgnoreCase(action, "DROP");
  if (!deny && !absl::EqualsIgnoreCase(action, "ACCEPT")) {
    return absl::InvalidArgumentError("\"action\": expected ACCEPT or DROP");
  }
  absl::AsciiStrToLower(&protocol);
  for (const std::string& peer : peers) {
    LATTICE_ASSIGN_OR_RETURN(const IpPrefix prefix, IpPrefix::Parse(peer));
    // The last rule of a chain, which upstream's first-match order needs; where deny wins it would deny everything.
    if (deny && prefix.length() == 0 && port == 0 && protocol.empty()) continue;
    std::string text = prefix.is_v4() ? prefix.ToString() : absl::StrCat("[", prefix.ToString(), "]");
    if (port != 0) absl::StrAppend(&text, ":", port);
    if (!protocol.empty()) absl::StrAppend(&text, protocol == "icmp" ? ":" : "/", protocol);
    rules->push_back(absl::StrCat(direction, deny ? " deny " : " allow ", text));
  }
  return absl::OkStatus();
}

absl::Status ReadComputedRules(const nlohmann::json& json, AgentConfig* config) {
  const auto computed = json.find("computedrules");
  if (computed == json.end() || !computed->is_object()) return absl::OkStatus();
  for (const char* direction : {"egress", "ingress"}) {
    const auto list = computed->find(direction);
    if (list == computed->end() || list->is_null()) continue;
    if (!list->is_array()) return absl::InvalidArgumentError("\"computedrules\": expected lists");
    for (const nlohmann::json& entry : *list) {
      if (!entry.is_object()) return absl::InvalidArgumentError("\"computedrules\": expected objects");
      LATTICE_RETURN_IF_ERROR(Annotate(ReadTrafficRule(entry, direction, &config->rules), "\"computedrules\""));
    }
  }
  return absl::OkStatus();
}

absl::Status ReadRules(const nlohmann::json& json, AgentConfig* config) {
  const auto policy = json.find("policy");
  if (policy != json.end() && policy->is_object()) {
    LATTICE_ASSIGN_OR_RETURN(config->rules, WireFields{*policy}.Texts("rules", 10'000, 4096));
  } else {
    LATTICE_RETURN_IF_ERROR(ReadComputedRules(json, config));
  }
  for (const std::string& rule : config->rules) {
    if (rule.find_first_of("\r\n") != std::string::npos) {
      return absl::InvalidArgumentError("\"rules\": a rule with a line end");
    }
  }
  return policy::ParsePolicyFile(absl::StrJoin(config->rules, "\n"), "rule").status();
}

}  // namespace

std::string NetMapJson(const NetMap& map, absl::Time now) {
  nlohmann::json peers = nlohmann::json::array();
  for (const Agent& peer : map.peers) peers.push_back(PeerJson(peer));
  const nlohmann::json message = {{"eventType", kJoinNetwork},
                                  {"configVersion", absl::StrCat(map.version)},
                                  {"timestamp", absl::ToUnixSeconds(now)},
                                  {"changes", nullptr},
                                  {"peer", PeerJson(map.self)},
                                  {"network",
                                   {{"address", map.overlay},
                                    {"allowedIps", {map.overlay}},
                                    {"port", map.self.port},
                                    {"NetworkId", map.self.name_space},
                                    {"networkName", map.self.name_space},
                                    {"peers", nlohmann::json::array()}}},
                                  {"policies", nlohmann::json::array()},
                                  {"computedpeers", std::move(peers)},
                                  {"computedrules", ComputedRules(map.policy)},
                                  {"labels", nlohmann::json::object()},
                                  {"status", StatusName(map.self.status)},
                                  {"policy", {{"rules", map.policy.rules}, {"version", map.policy.version}}}};
  return ToText(message);
}

std::string RegisteredPeerJson(const Enrolled& enrolled) {
  nlohmann::json peer = PeerJson(enrolled.agent);
  peer["token"] = enrolled.jwt;
  return ToText(peer);
}

absl::StatusOr<AgentConfig> ParseNetMap(absl::string_view text, std::vector<std::string>* warnings) {
  LATTICE_ASSIGN_OR_RETURN(const nlohmann::json json, ParseWireObject(text, kMaxNetMapBytes));
  const WireFields fields{json};
  AgentConfig config;
  LATTICE_ASSIGN_OR_RETURN(config.version, fields.Text("configVersion"));
  LATTICE_ASSIGN_OR_RETURN(config.status, fields.Text("status"));
  if (const auto self = json.find("peer"); self != json.end() && self->is_object()) {
    LATTICE_ASSIGN_OR_RETURN(const std::string address, WireFields{*self}.Text("address"));
    if (!address.empty()) {
      // Upstream gives it bare or with the length of its network.
      LATTICE_ASSIGN_OR_RETURN(const IpAddress parsed, IpAddress::Parse(address.substr(0, address.find('/'))));
      config.address = parsed.ToString();
    }
  }
  LATTICE_RETURN_IF_ERROR(ReadPeers(json, &config, warnings));
  LATTICE_RETURN_IF_ERROR(ReadRules(json, &config));
  return config;
}

}  // namespace lattice::control
