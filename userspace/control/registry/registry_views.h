// The registry's records as JSON: the `data` of the envelope. Pure functions; any thread.
#ifndef USERSPACE_CONTROL_REGISTRY_REGISTRY_VIEWS_H_
#define USERSPACE_CONTROL_REGISTRY_REGISTRY_VIEWS_H_

#include <string>
#include <vector>

#include "userspace/control/audit/flow_store.h"
#include "userspace/control/registry/authenticator.h"
#include "userspace/control/registry/records.h"

namespace lattice::control {

// The registry's agents with what the audit says of them, and those that only the audit knows.
std::string AgentsJson(const std::vector<Agent>& agents, const std::vector<AgentSummary>& activity);
std::string PolicyJson(const AgentPolicy& policy);
std::string IssuedTokenJson(const IssuedToken& token);
std::string EnrollmentTokensJson(const std::vector<EnrollmentToken>& tokens, int64_t now_ns);
std::string EnrolledJson(const Enrolled& enrolled);  // {jwt, agentIdentityName}
std::string PrincipalJson(const Principal& principal);
std::string TokenJson(const std::string& token);  // {token}
// Empty texts are left out.
std::string DiscoveryJson(const std::string& nats_url, const std::string& stun_url, const std::string& enforcer_mode);

}  // namespace lattice::control

#endif  // USERSPACE_CONTROL_REGISTRY_REGISTRY_VIEWS_H_
