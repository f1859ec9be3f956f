// The flags of `lattice sandbox start` and `run`, judged.
#ifndef TOOLS_LATTICE_SANDBOX_OPTIONS_H_
#define TOOLS_LATTICE_SANDBOX_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/lattice/args.h"
#include "userspace/audit/audit_file_options.h"
#include "userspace/base/endpoint.h"
#include "userspace/dp/flags.h"
#include "userspace/sandbox/forward_spec.h"
#include "userspace/sandbox/pod.h"

namespace lattice::cli {

struct SandboxOptions {
  std::string name;
  std::string token;      // enrolment; empty: from credentials
  std::string wg_config;  // a file; then there is no control plane
  std::string config_dir;
  bool over_http = false;
  std::string nats_credentials;
  std::string nats_tls_ca;
  std::string endpoint;  // told to peers; empty: found out, where the port is given
  uint16_t port = 0;     // UDP; 0: any
  size_t mtu = 1420;
  std::vector<Endpoint> dns;

  std::vector<dp::RuleFlag> rules;
  bool egress_default_deny = true;
  std::string policy_file;

  std::optional<sandbox::ProxyOptions> proxy;
  std::vector<sandbox::ForwardSpec> forwards;
  bool forward_proxy_protocol = false;

  std::string audit_log;
  audit::DiskFull disk_full = audit::DiskFull::kBlock;
  std::string metrics_addr;
  absl::Duration ready_timeout;
  std::optional<int> ready_fd;
  std::vector<std::string> command;  // of `run`
};

// The flags of both commands on one command line.
class SandboxFlags {
 public:
  // `run`: with a command after "--", and a proxy in any case.
  SandboxFlags(Args& args, bool run);

  // After Args::Parse. InvalidArgument: the flag, its value and the remedy.
  absl::StatusOr<SandboxOptions> Judge(std::vector<std::string> command) const;

 private:
  absl::Status JudgeProxy(SandboxOptions& options) const;
  absl::Status JudgeToken(SandboxOptions& options) const;

  const bool run_;
  std::string& name_;
  std::string& mode_;
  std::string& token_;
  std::string& token_file_;
  std::string& wg_config_;
  std::vector<std::string>& egress_allow_;
  std::vector<std::string>& egress_deny_;
  bool& egress_default_deny_;
  std::vector<std::string>& ingress_allow_;
  std::string& policy_file_;
  std::vector<std::string>& forward_;
  bool& forward_proxy_protocol_;
  std::string& proxy_addr_;
  std::vector<std::string>& proxy_auth_;
  std::string& proxy_auth_file_;
  std::vector<std::string>& dns_;
  std::string& audit_log_;
  std::string& disk_full_;
  std::string& metrics_addr_;
  std::string& config_dir_;
  uint64_t& port_;
  std::string& endpoint_;
  uint64_t& mtu_;
  std::string& via_;
  std::string& nats_credentials_;
  std::string& nats_tls_ca_;
  uint64_t& ready_timeout_;
  std::string& ready_fd_;
};

// $LATTICE_CONFIG_DIR, else /etc/lattice for root, else $XDG_STATE_HOME/lattice or ~/.local/state/lattice.
std::string SandboxConfigDir();

}  // namespace lattice::cli

#endif  // TOOLS_LATTICE_SANDBOX_OPTIONS_H_
