#include "tests/testing/random_policy.h"

#include <algorithm>
#include <array>
#include <set>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lattice::testing {
namespace {

using policy::PortRange;
using policy::ProtocolMatch;
using policy::Rule;
using policy::RuleSet;

int Below(Random& random, int n) {
  return static_cast<int>(random() % static_cast<uint64_t>(n));
}

bool OneIn(Random& random, int n) {
  return Below(random, n) == 0;
}

template <typename T, size_t n>
T OneOf(Random& random, const T (&pool)[n]) {
  return pool[Below(random, n)];
}

// `address` with 1 added to or taken from its number; the ends wrap around.
IpAddress Step(const IpAddress& address, int by) {
  std::array<uint8_t, 16> bytes = address.bytes();
  const int first = address.is_v4() ? 12 : 0;
  for (int i = 15; i >= first; --i) {
    const int value = bytes[i] + by;
    bytes[i] = static_cast<uint8_t>(value);
    if (value >= 0 && value <= 255) break;
  }
  return IpAddress::FromBytes(bytes.data());
}

IpAddress Last(const IpPrefix& prefix) {
  std::array<uint8_t, 16> bytes = prefix.address().bytes();
  for (int bit = prefix.length128(); bit < 128; ++bit) bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
  return IpAddress::FromBytes(bytes.data());
}

// The edges and middles of these pools meet each other often.
constexpr uint16_t kPorts[] = {0, 1, 22, 53, 79, 80, 81, 443, 444, 1023, 1024, 8000, 8050, 8100, 32768, 65534, 65535};
constexpr uint8_t kProtocols[] = {6, 6, 6, 17, 17, 1, 58, 47, 132, 0, 255};

IpPrefix RandomPrefix(Random& random, bool v6, const std::vector<IpPrefix>& earlier) {
  const int longest = v6 ? 128 : 32;
  if (!earlier.empty() && !OneIn(random, 3)) {
    const IpPrefix& near = earlier[Below(random, static_cast<int>(earlier.size()))];
    if (near.is_v4() == !v6) {
      // Around it, inside it, or beside it.
      const int length = std::clamp(near.length() + Below(random, 17) - 6, 0, longest);
      return IpPrefix(OneIn(random, 4) ? Step(Last(near), 1) : RandomAddressIn(random, near), length);
    }
  }
  const char* const v4_bases[] = {"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8", "0.0.0.0/0"};
  const char* const v6_bases[] = {"2001:db8::/32", "2001:db8:1::/48", "fd00::/8", "::/0"};
  const IpPrefix base = IpPrefix::Parse(v6 ? OneOf(random, v6_bases) : OneOf(random, v4_bases)).value();
  const int length = OneIn(random, 8) ? base.length() : base.length() + Below(random, longest - base.length() + 1);
  const IpAddress address = RandomAddressIn(random, base);
  // ::ffff:0:0/96 as text is IPv4.
  if (address.is_v4() == v6) return base;
  return IpPrefix(address, length);
}

Rule RandomRule(Random& random, const IpPrefix& prefix) {
  Rule rule{.prefix = prefix, .deny = OneIn(random, 5)};
  switch (Below(random, 4)) {
    case 0:
      return rule;
    case 1:
      rule.protocols = ProtocolMatch::kOne;
      rule.protocol = OneOf(random, kProtocols);
      break;
    default:
      rule.protocols = ProtocolMatch::kTcpUdp;
      break;
  }
  const bool ported = rule.protocols == ProtocolMatch::kTcpUdp || rule.protocol == 6 || rule.protocol == 17;
  if (!ported || OneIn(random, 4)) return rule;
  const int ranges = OneIn(random, 6) ? 12 : 1 + Below(random, 3);
  for (int i = 0; i < ranges; ++i) {
    const uint16_t a = OneIn(random, 3) ? static_cast<uint16_t>(random()) : OneOf(random, kPorts);
    const uint16_t b = OneIn(random, 3) ? OneOf(random, kPorts) : a;
    rule.ports.push_back({std::min(a, b), std::max(a, b)});
  }
  policy::NormalizePorts(rule.ports);
  return rule;
}

std::vector<Rule> RandomRules(Random& random, const RandomPolicyOptions& options) {
  std::vector<Rule> rules;
  std::vector<IpPrefix> prefixes;
  std::set<std::string> names;
  const int count = Below(random, options.max_rules + 1);
  for (int i = 0; i < count; ++i) {
    const bool v6 = options.v6 && (!options.v4 || OneIn(random, 2));
    const IpPrefix prefix = !prefixes.empty() && OneIn(random, 5)
                                ? prefixes[Below(random, static_cast<int>(prefixes.size()))]
                                : RandomPrefix(random, v6, prefixes);
    Rule rule = RandomRule(random, prefix);
    // Rules of one shape are where a compiler can save, and go wrong.
    if (!rules.empty() && OneIn(random, 3)) {
      rule = rules[Below(random, static_cast<int>(rules.size()))];
      rule.prefix = prefix;
      rule.name.clear();
    }
    if (OneIn(random, 6)) rule.name = absl::StrCat("rule-", random() % 1'000'000);
    if (!names.insert(policy::RuleName(rule, /*ingress=*/false)).second) continue;
    prefixes.push_back(prefix);
    rules.push_back(std::move(rule));
  }
  return rules;
}

uint16_t RandomPort(Random& random, const Rule* rule) {
  if (rule == nullptr || rule->ports.empty() || OneIn(random, 4)) {
    return OneIn(random, 2) ? OneOf(random, kPorts) : static_cast<uint16_t>(random());
  }
  const PortRange& range = rule->ports[Below(random, static_cast<int>(rule->ports.size()))];
  return static_cast<uint16_t>((OneIn(random, 2) ? range.first : range.last) + Below(random, 3) - 1);
}

}  // namespace

IpAddress RandomAddress(Random& random, bool v6) {
  if (!v6) return IpAddress::FromV4(static_cast<uint32_t>(random()));
  std::array<uint8_t, 16> bytes;
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return IpAddress::FromBytes(bytes.data());
}

IpAddress RandomAddressIn(Random& random, const IpPrefix& prefix) {
  std::array<uint8_t, 16> bytes = prefix.address().bytes();
  for (int bit = prefix.length128(); bit < 128; ++bit) {
    if (OneIn(random, 2)) bytes[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
  }
  return IpAddress::FromBytes(bytes.data());
}

RuleSet RandomRuleSet(Random& random, const RandomPolicyOptions& options) {
  RuleSet rules;
  rules.egress = RandomRules(random, options);
  rules.ingress = RandomRules(random, options);
  // The two lists together may not have a name twice either.
  std::set<std::string> names;
  for (const Rule& rule : rules.egress) names.insert(policy::RuleName(rule, /*ingress=*/false));
  for (Rule& rule : rules.ingress) {
    if (names.count(rule.name) != 0) rule.name.clear();
  }
  rules.egress_default_deny = !OneIn(random, 4);
  rules.ingress_default_deny = OneIn(random, 2);
  return rules;
}

std::string ToString(const Probe& probe) {
  return absl::StrCat(probe.direction == LAT_EGRESS ? "egress " : "ingress ", probe.remote.ToString(), " protocol ",
                      int{probe.protocol}, " port ", probe.port.has_value() ? absl::StrCat(*probe.port) : "none");
}

Probe RandomProbe(Random& random, const RuleSet& rules) {
  Probe probe;
  probe.direction = OneIn(random, 2) ? LAT_EGRESS : LAT_INGRESS;
  const std::vector<Rule>& list = probe.direction == LAT_EGRESS ? rules.egress : rules.ingress;
  const Rule* rule = list.empty() ? nullptr : &list[Below(random, static_cast<int>(list.size()))];
  if (rule == nullptr || OneIn(random, 8)) {
    probe.remote = RandomAddress(random, OneIn(random, 2));
  } else if (OneIn(random, 4)) {
    probe.remote = RandomAddressIn(random, rule->prefix);
  } else {
    const IpAddress edge = OneIn(random, 2) ? rule->prefix.address() : Last(rule->prefix);
    probe.remote = Step(edge, Below(random, 3) - 1);
  }
  // Ports often those of another rule that may cover the same address.
  const Rule* ported = list.empty() ? nullptr : &list[Below(random, static_cast<int>(list.size()))];
  const bool of_rule = rule != nullptr && rule->protocols == ProtocolMatch::kOne && !OneIn(random, 3);
  probe.protocol = of_rule             ? rule->protocol
                   : OneIn(random, 10) ? static_cast<uint8_t>(random())
                                       : OneOf(random, kProtocols);
  if (!OneIn(random, 6)) probe.port = RandomPort(random, OneIn(random, 2) ? rule : ported);
  return probe;
}

}  // namespace lattice::testing
