// The command line of latticed-dp, as text: what was given, nothing judged yet
// (options.h does that). This is the only place that knows gflags. Main thread.
#ifndef USERSPACE_DP_FLAGS_H_
#define USERSPACE_DP_FLAGS_H_

#include <lattice/abi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lattice::dp {

// One occurrence of a flag that adds rules.
struct RuleFlag {
  std::string flag;  // "--egress-allow"
  lat_direction direction = LAT_EGRESS;
  bool allow = true;
  std::string text;  // one rule, or several with commas

  bool operator==(const RuleFlag&) const = default;
};

struct FlagValues {
  // What is enforced. Rules in the order of the command line.
  std::string iface;
  std::vector<RuleFlag> rules;
  bool egress_default_deny = true;
  std::optional<bool> ingress_default_deny;  // nothing: as the rules say
  std::string policy_file;
  std::vector<std::string> cgroups;
  std::string mode = "enforce";
  bool deny_loopback = false;
  // How.
  bool wait_iface = false;
  std::string pin_path;
  uint32_t max_flows = 0;
  std::string flow_idle_timeout;
  std::string flow_tcp_idle_timeout;
  std::string flow_active_timeout;
  std::string on_table_full = "deny";
  std::string policy_memory;
  std::string tc_hook = "auto";
  // Records.
  std::string agent_name;
  std::string node;
  std::string audit_log;
  std::string audit_rotate_size;
  std::string audit_rotate_after;
  std::string audit_max_size;
  std::string audit_fsync = "interval";
  std::string audit_fsync_interval;
  std::string audit_disk_full = "block";
  std::string audit_key;
  // NATS.
  std::vector<std::string> nats_urls;
  std::string nats_credentials;
  std::string nats_user;
  std::string nats_password_file;
  std::string nats_token_file;
  std::string nats_tls_ca;
  std::string nats_tls_cert;
  std::string nats_tls_key;
  bool nats_jetstream = true;
  std::string agent_token_file;
  // Operation.
  std::string metrics_addr;
  std::string admin_socket;
  std::string seccomp = "enforce";
};

// Parses the command line. Does not return for --help (exit 0), --version (exit 0) and for a
// flag that is unknown or malformed (a line on stderr, exit 2).
FlagValues ParseFlags(int argc, char** argv);

}  // namespace lattice::dp

#endif  // USERSPACE_DP_FLAGS_H_
