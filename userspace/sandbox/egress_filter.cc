#include "userspace/sandbox/egress_filter.h"

#include "userspace/policy/judge.h"

namespace lattice::sandbox {
namespace {

flow::Reason ReasonOf(const policy::Decision& decision) {
  if (decision.allow)
    return flow::FromKernelReason(decision.rule.has_value() ? LAT_REASON_ALLOW_RULE : LAT_REASON_DEFAULT_ALLOW);
  return flow::FromKernelReason(decision.rule.has_value() ? LAT_REASON_DENY_RULE : LAT_REASON_NO_RULE);
}

}  // namespace

Verdict EgressFilter::Judge(lat_direction direction, const IpAddress& remote, uint8_t protocol,
                            std::optional<uint16_t> port) const {
  if (closed_) return {.reason = flow::FromKernelReason(LAT_REASON_NO_POLICY)};
  return JudgeLive(direction, remote, protocol, port);
}

Verdict EgressFilter::JudgeLive(lat_direction direction, const IpAddress& remote, uint8_t protocol,
                                std::optional<uint16_t> port) const {
  if (generation_ == 0) return {.reason = flow::FromKernelReason(LAT_REASON_NO_POLICY)};
  const policy::Decision decision = policy::Judge(rules_, direction, remote, protocol, port);
  Verdict verdict{.allow = decision.allow, .reason = ReasonOf(decision)};
  if (decision.rule.has_value()) {
    const bool ingress = direction == LAT_INGRESS;
    verdict.rule = policy::RuleName((ingress ? rules_.ingress : rules_.egress)[*decision.rule], ingress);
  }
  return verdict;
}

void EgressFilter::Replace(policy::RuleSet rules) {
  rules_ = std::move(rules);
  hash_ = policy::Hash(rules_);
  ++generation_;
  changed_();
}

}  // namespace lattice::sandbox
