#include "userspace/policy/judge.h"

#include <netinet/in.h>

#include <vector>

namespace lattice::policy {
namespace {

bool MatchesProtocol(const Rule& rule, uint8_t protocol) {
  switch (rule.protocols) {
    case ProtocolMatch::kAny:
      return true;
    case ProtocolMatch::kTcpUdp:
      return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP;
    case ProtocolMatch::kOne:
      return protocol == rule.protocol;
  }
  return false;
}

bool MatchesPort(const Rule& rule, std::optional<uint16_t> port) {
  if (rule.ports.empty()) return true;
  if (!port.has_value()) return rule.deny;
  for (const PortRange& range : rule.ports) {
    if (range.first <= *port && *port <= range.last) return true;
  }
  return false;
}

bool Matches(const Rule& rule, const IpAddress& remote, uint8_t protocol, std::optional<uint16_t> port) {
  return rule.prefix.Contains(remote) && MatchesProtocol(rule, protocol) && MatchesPort(rule, port);
}

}  // namespace

Decision Judge(const RuleSet& rules, lat_direction direction, const IpAddress& remote, uint8_t protocol,
               std::optional<uint16_t> port) {
  const std::vector<Rule>& list = direction == LAT_EGRESS ? rules.egress : rules.ingress;
  for (const bool deny : {true, false}) {
    for (size_t i = 0; i < list.size(); ++i) {
      if (list[i].deny == deny && Matches(list[i], remote, protocol, port)) return {.allow = !deny, .rule = i};
    }
  }
  return {.allow = direction == LAT_EGRESS ? !rules.egress_default_deny : !rules.ingress_default_deny};
}

}  // namespace lattice::policy
