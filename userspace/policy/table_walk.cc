#include "userspace/policy/table_walk.h"

#include <cstddef>

struct lat_policy_view {
  const lat_u32* words;
  size_t size;
};

static const lat_u32* lat_policy_unit(const struct lat_policy_view* view, lat_u32 unit) {
  const size_t index = size_t{unit} * LAT_UNIT_WORDS;
  return index + LAT_UNIT_WORDS <= view->size ? view->words + index : nullptr;
}

#include <lattice/policy_walk.h>

namespace lattice::policy {
namespace {

// What a lookup in lpm4 or lpm6 answers.
uint32_t LongestMatch(const CompiledPolicy& policy, lat_direction direction, const IpAddress& remote,
                      uint32_t default_leaf) {
  uint32_t leaf = default_leaf;
  int longest = -1;
  for (const LpmEntry& entry : policy.lpm) {
    if (entry.direction != direction || entry.prefix.length() <= longest || !entry.prefix.Contains(remote)) continue;
    longest = entry.prefix.length();
    leaf = entry.leaf;
  }
  return leaf;
}

}  // namespace

TableDecision WalkTable(const CompiledPolicy& policy, lat_direction direction, const IpAddress& remote,
                        uint8_t protocol, std::optional<uint16_t> port) {
  const lat_policy_view view{policy.words.data(), policy.words.size()};
  const bool is_v6 = !remote.is_v4();
  const uint32_t leaf = lat_policy_flags(&view) & LAT_POLICY_LPM
                            ? LongestMatch(policy, direction, remote, lat_policy_default_leaf(&view, direction))
                            : lat_policy_leaf(&view, direction, is_v6, remote.high64(), remote.low64());
  const uint32_t decision = lat_policy_decide(&view, leaf, is_v6, protocol, port.has_value(), port.value_or(0));
  return {.allow = (decision & LAT_DECISION_ALLOW) != 0, .rule = lat_policy_rule(&view, leaf, decision)};
}

}  // namespace lattice::policy
