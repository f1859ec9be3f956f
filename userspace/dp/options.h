// The flags, judged: typed settings for every part of the daemon. Pure but for the
// facts of the host that are passed in.
#ifndef USERSPACE_DP_OPTIONS_H_
#define USERSPACE_DP_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "userspace/audit/audit_file.h"
#include "userspace/datapath/options.h"
#include "userspace/dp/flags.h"
#include "userspace/dp/seccomp.h"
#include "userspace/nats/connection.h"

namespace lattice::dp {

struct PolicyOptions {
  std::vector<RuleFlag> rules;
  bool egress_default_deny = true;
  std::optional<bool> ingress_default_deny;  // nothing: true exactly if there is an ingress allow rule
  std::string file;                          // empty: none
};

// For what is per instance and of this boot.
inline constexpr char kRunFolder[] = "/run/lattice";

struct Options {
  std::string instance;  // datapath::InstanceName(iface)
  datapath::Options datapath;
  PolicyOptions policy;
  audit::AuditFileOptions audit;   // boot, min_next_seq and rings_adopted are for the controller
  bool make_audit_folder = false;  // the path is our default
  std::string audit_key;           // file of the signing key
  nats::Options nats;              // no urls: no publishing
  bool nats_jetstream = true;
  std::string agent_token_file;  // empty: none
  std::string metrics_addr;      // empty: none
  std::string admin_socket;
  SeccompMode seccomp = SeccompMode::kEnforce;

  const std::string& iface() const { return datapath.iface; }
};

struct HostFacts {
  std::string host_name;
  std::string instance;  // datapath::InstanceName(iface)
};

// InvalidArgument with every problem of the flags, a line each: "--flag=value: what is wrong; what to do".
absl::StatusOr<Options> MakeOptions(const FlagValues& flags, const HostFacts& host);

// InvalidArgument for a name no interface can have.
absl::Status CheckInterfaceName(const std::string& name);

// "/run/lattice/dp-<instance>.<suffix>"
std::string RunPath(const std::string& instance, absl::string_view suffix);
// The defaults that depend on the interface; `instance` as in HostFacts.
std::string DefaultAdminSocket(const std::string& instance);
std::string DefaultAuditLog(const std::string& instance);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_OPTIONS_H_
