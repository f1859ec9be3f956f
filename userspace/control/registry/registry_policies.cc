// The policy of each agent. See registry.h.
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/identity.h"
#include "userspace/control/registry/registry.h"
#include "userspace/control/registry/rows.h"
#include "userspace/policy/policy_file.h"

namespace lattice::control {
namespace {

constexpr size_t kMaxRules = 10'000;
// The whole of it goes into one NATS message, of 1 MiB at most, together with the peers.
constexpr size_t kMaxBytes = 256 << 10;

absl::Status CheckRules(const std::vector<std::string>& rules) {
  if (rules.size() > kMaxRules) {
    return absl::InvalidArgumentError(absl::StrCat("rules: ", rules.size(), " of them; at most ", kMaxRules));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < rules.size(); ++i) {
    bytes += rules[i].size();
    // A line end would make two rules of one, a comment none.
    if (rules[i].find_first_of("\r\n#") != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("rule ", i + 1, ": expected one rule without line end or comment"));
    }
  }
  if (bytes > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat("rules: ", bytes, " bytes; at most ", kMaxBytes));
  }
  const absl::StatusOr<policy::PolicyFile> parsed = policy::ParsePolicyFile(absl::StrJoin(rules, "\n"), "rule");
  if (!parsed.ok()) return parsed.status();
  const size_t count = parsed->egress.size() + parsed->ingress.size();
  if (count == rules.size()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("rules: ", rules.size(), " texts are ", Plural(count, "rule"),
                                                 "; expected one rule in each, and none empty"));
}

}  // namespace

absl::StatusOr<AgentPolicy> Registry::GetPolicy(absl::string_view agent) {
  LATTICE_RETURN_IF_ERROR(CheckName("agent name", agent));
  LATTICE_ASSIGN_OR_RETURN(sql::Lease connection, database_.Borrow(Deadline()));
  LATTICE_ASSIGN_OR_RETURN(std::optional<AgentPolicy> policy, SelectPolicy(*connection, agent, Deadline()));
  return policy.has_value() ? *std::move(policy) : AgentPolicy();
}

absl::StatusOr<AgentPolicy> Registry::SetPolicy(absl::string_view agent, const std::vector<std::string>& rules,
                                                absl::string_view by, std::optional<int64_t> made_from) {
  LATTICE_RETURN_IF_ERROR(CheckName("agent name", agent));
  LATTICE_RETURN_IF_ERROR(CheckRules(rules));
  AgentPolicy policy{.rules = rules, .updated_ns = NowNs(), .updated_by = std::string(by)};
  const std::string encoded = EncodeList(rules);
  LATTICE_ASSIGN_OR_RETURN(
      const int64_t config_version, Write([&](sql::Connection& connection, int64_t) -> absl::Status {
        LATTICE_ASSIGN_OR_RETURN(const std::optional<AgentPolicy> before, SelectPolicy(connection, agent, Deadline()));
        const int64_t version = before.has_value() ? before->version : 0;
        if (made_from.has_value() && *made_from != version) {
          return absl::FailedPreconditionError(absl::StrCat("the policy is at version ", version,
                                                            ", yours was made from ", *made_from,
                                                            ": read it again and repeat your change"));
        }
        policy.version = version + 1;
        return connection
            .Execute(
                "INSERT INTO la_agent_policies (agent, rules, version, updated_ns, updated_by) VALUES "
                "(?, ?, ?, ?, ?) ON CONFLICT (agent) DO UPDATE SET rules = excluded.rules, "
                "version = excluded.version, updated_ns = excluded.updated_ns, updated_by = excluded.updated_by",
                {agent, encoded, policy.version, policy.updated_ns, by}, Deadline())
            .status();
      }));
  Announce(agent, config_version);
  return policy;
}

}  // namespace lattice::control
