// What an operator allows and denies: one Rule, and the RuleSet of a scope.
//
// A rule as text is CIDR[:PORTS][/PROTO]:
//   10.42.0.10/32   0.0.0.0/0:443   10.0.0.0/8:22,8000-8100/tcp   [2001:db8::/32]:443
//   10.0.0.1 (= /32)   10.0.0.0/8:*/udp   10.0.0.0/8:icmp   192.0.2.0/24/47
// No port means every protocol and port; a port, or `*`, without a protocol means
// TCP and UDP. `icmp` is the ICMP of the prefix's family. 0.0.0.0/0 is IPv4 only.
//
// The promise: ParseRule(PrintRule(x)) == x for every rule that CheckRule accepts.
// Values without threads or I/O.
#ifndef USERSPACE_POLICY_RULE_H_
#define USERSPACE_POLICY_RULE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/base/ip.h"

namespace lattice::policy {

struct PortRange {
  uint16_t first = 0;
  uint16_t last = 0;  // inclusive

  auto operator<=>(const PortRange&) const = default;
};

enum class ProtocolMatch { kAny, kTcpUdp, kOne };

// What fits name[] of lat_rule_text with its end.
inline constexpr size_t kMaxRuleNameLength = 47;

struct Rule {
  IpPrefix prefix;
  // Ascending, neither overlapping nor adjacent, never all ports. Empty: every port,
  // and packets whose ports can't be read.
  absl::InlinedVector<PortRange, 2> ports;
  ProtocolMatch protocols = ProtocolMatch::kAny;
  uint8_t protocol = 0;  // IP protocol number, kOne only
  bool deny = false;
  std::string name;  // as given by the operator; empty: RuleName() is made from the rule

  bool operator==(const Rule&) const = default;
};

// One scope's policy. Deny rules win over allow rules; among equals the first in the
// list gives its name to the verdict.
struct RuleSet {
  std::vector<Rule> egress;
  std::vector<Rule> ingress;
  bool egress_default_deny = true;
  bool ingress_default_deny = false;

  bool operator==(const RuleSet&) const = default;
};

// One rule. Its action is allow and its name empty. Host bits are cleared and told in
// `warnings` (optional). InvalidArgument names text, column and what was expected.
absl::StatusOr<Rule> ParseRule(absl::string_view text, std::vector<std::string>* warnings);

// Rules separated by commas, blanks around them ignored: the value of --egress-allow.
// A comma before a bare port number goes on with the ports of the same rule.
absl::StatusOr<std::vector<Rule>> ParseRuleList(absl::string_view text, std::vector<std::string>* warnings);

// The canonical text of prefix, ports and protocol: no action, no name.
std::string PrintRule(const Rule& rule);

// The name in records and metrics: the operator's, or the printed rule, after
// "ingress " and "deny " where it is one.
std::string RuleName(const Rule& rule, bool ingress);

// The canonical text of the set: a policy file, preceded by the defaults as comments.
std::string Print(const RuleSet& rules);

// Hex SHA-256 of Print(rules).
std::string Hash(const RuleSet& rules);

// The number of the ICMP of the prefix's family: 1 or 58.
uint8_t IcmpProtocol(const IpPrefix& prefix);

// Puts ports in the order and form that Rule::ports promises.
void NormalizePorts(absl::InlinedVector<PortRange, 2>& ports);

// InvalidArgument where ports are out of form or stand with a protocol that has none.
absl::Status CheckRule(const Rule& rule);

// 1 to kMaxRuleNameLength letters, digits and ._:@+- : without "/", so that no given
// name is equal to one that RuleName() makes.
absl::Status CheckRuleName(absl::string_view name);

// Every rule's form, and that no two rules have one name.
absl::Status CheckRuleSet(const RuleSet& rules);

// Finds rules whose RuleName() is taken, without making the names.
class NameIndex {
 public:
  // The `tag` of the earlier rule with this rule's name; otherwise remembers the rule
  // with `tag` and returns nothing.
  std::optional<int> Add(const Rule& rule, bool ingress, int tag);

 private:
  struct ByContent {
    size_t operator()(const Rule& rule) const;
    bool operator()(const Rule& a, const Rule& b) const;
  };
  absl::flat_hash_map<std::string, int> given_;
  absl::flat_hash_map<Rule, int, ByContent, ByContent> made_[2];  // by direction; their names are left out
};

}  // namespace lattice::policy

#endif  // USERSPACE_POLICY_RULE_H_
