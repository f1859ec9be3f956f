// Random rule sets and the packets that tell a right table from a wrong one: addresses
// and ports at the edges of the set's own rules. For differential tests.
#ifndef TESTS_TESTING_RANDOM_POLICY_H_
#define TESTS_TESTING_RANDOM_POLICY_H_

#include <lattice/abi.h>

#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "userspace/base/ip.h"
#include "userspace/policy/rule.h"

namespace lattice::testing {

using Random = std::mt19937_64;

struct RandomPolicyOptions {
  int max_rules = 24;  // of each direction
  bool v4 = true;
  bool v6 = true;
};

// Rules that overlap: prefixes nest in each other, ports and protocols come from small
// pools, a fifth of them deny. Passes policy::CheckRuleSet.
policy::RuleSet RandomRuleSet(Random& random, const RandomPolicyOptions& options);

// What a verdict depends on. `port` is the judged one: remote for egress, local for
// ingress; none: a packet without ports, such as a later fragment.
struct Probe {
  lat_direction direction = LAT_EGRESS;
  IpAddress remote;
  uint8_t protocol = 0;
  std::optional<uint16_t> port;
};

std::string ToString(const Probe& probe);

// Three in four probes take an address at, or one beside, the first or last of some
// rule's prefix, and as many a port at or one beside the edge of a port range.
Probe RandomProbe(Random& random, const policy::RuleSet& rules);

// Any address of the family, and one inside `prefix`.
IpAddress RandomAddress(Random& random, bool v6);
IpAddress RandomAddressIn(Random& random, const IpPrefix& prefix);

}  // namespace lattice::testing

#endif  // TESTS_TESTING_RANDOM_POLICY_H_
