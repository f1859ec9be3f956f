// An agent's map of the network on the wire: upstream's message, and what an agent makes of it.
//
// Beside upstream's keys there are two of ours: `policy` {rules[], version} has the rules as they were set, which
// `computedrules` can not always say (port ranges), and `status`. Sans-I/O; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_NETMAP_H_
#define USERSPACE_CONTROL_REGISTRY_NETMAP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "userspace/base/ip.h"
#include "userspace/control/registry/records.h"

namespace lattice::control {

// The answer to GetNetMap.
std::string NetMapJson(const NetMap& map, absl::Time now);
// The answer to `register`: the peer with its token.
std::string RegisteredPeerJson(const Enrolled& enrolled);

struct PeerConfig {
  std::string name;
  std::string public_key;
  std::string endpoint;  // empty: it comes to us
  std::vector<IpPrefix> allowed_ips;
  int keepalive_seconds = 0;

  bool operator==(const PeerConfig&) const = default;
};

// What the agent itself is to do.
struct AgentConfig {
  std::string version;
  std::string status;   // "active", "pending", …; empty from older control planes
  std::string address;  // empty: not yet
  std::vector<PeerConfig> peers;
  std::vector<std::string> rules;  // lines of a policy file

  bool operator==(const AgentConfig&) const = default;
};

// The agent's side: takes upstream's messages and ours. A peer that is not usable (its key, its addresses) is left out
// and named in `warnings`; rules that are none make the message invalid, because without them it would allow or deny
// something else. InvalidArgument: what is wrong.
absl::StatusOr<AgentConfig> ParseNetMap(absl::string_view text, std::vector<std::string>* warnings);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_NETMAP_H_
