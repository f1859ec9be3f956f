// The flags of latticed-dp. Each help text: unit, effect; the default is printed from the flag.
//
// gflags keeps only the last value of a repeated flag, but calls the flag's validator at each
// occurrence: the validators below collect. Rules of different flags keep their common order.
#include "userspace/dp/flags.h"

#include <gflags/gflags.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "userspace/base/daemon_flags.h"
#include "userspace/datapath/options.h"
#include "userspace/dp/exit_code.h"

DEFINE_string(iface, "", "Interface to enforce on, for example wg0. Required.");
DEFINE_string(egress_allow, "",
              "Rule CIDR[:PORTS][/PROTO]: traffic that may leave through the interface. Repeatable, commas separate. "
              "Examples: 10.42.0.10/32  0.0.0.0/0:443  10.0.0.0/8:8000-8100/tcp  [2001:db8::/32]:443");
DEFINE_string(egress_deny, "", "Rule like --egress-allow for traffic that may not leave. Deny wins over allow.");
DEFINE_bool(egress_default_deny, true,
            "Deny what no egress rule names. false: allow and record it, so only --egress-deny stops traffic.");
DEFINE_string(ingress_allow, "",
              "Rule like --egress-allow, by source address and local port: connections that may come in. Repeatable. "
              "Turns --ingress-default-deny on.");
DEFINE_bool(ingress_default_deny, false,
            "Deny connections from outside that no ingress rule names. Replies to allowed flows always come in. Set by "
            "any ingress allow rule unless given.");
DEFINE_string(policy_file, "",
              "File of rules, one a line: [egress|ingress] [allow|deny] RULE [name=NAME]; # begins a comment. Added "
              "after the rules of the flags; read again at SIGHUP.");
DEFINE_string(cgroup, "",
              "cgroup2 folder whose processes are bound by the same policy on every interface. Repeatable.");
DEFINE_string(mode, "enforce", "enforce | audit. audit lets pass what the policy denies and records it as denied.");
DEFINE_bool(deny_loopback, false,
            "With --cgroup: judge loopback traffic by the policy too. false: 127.0.0.0/8 and ::1 are open.");

DEFINE_bool(wait_iface, false,
            "Start before the interface exists and attach when it comes. false: a missing interface is an error.");
DEFINE_string(pin_path, lattice::datapath::kDefaultPinPath,
              "Folder on a BPF file system; the pins go to <pin-path>/<iface>/.");
DEFINE_uint32(max_flows, 65536, "Entries of each flow table, one for IPv4 and one for IPv6.");
DEFINE_string(flow_idle_timeout, "2m", "Duration without a packet after which a flow ends.");
DEFINE_string(flow_tcp_idle_timeout, "124m", "The same for an established TCP connection (RFC 5382).");
DEFINE_string(flow_active_timeout, "60s", "Interval of the update records of a long flow.");
DEFINE_string(on_table_full, "deny",
              "deny | allow: what happens to a new flow when its table is full. allow passes it unrecorded and counts "
              "it as untracked.");
DEFINE_string(policy_memory, "64MiB",
              "Memory for the compiled address tables. A larger policy uses a slower kernel table, or is refused.");
DEFINE_string(tc_hook, "auto",
              "auto | tcx | clsact: how to attach to the interface. auto: tcx where the kernel has it.");

DEFINE_string(agent_name, "", "Agent whose traffic this is, in every record. Empty: the host name.");
DEFINE_string(
    node, "",
    "Name of this recorder in event ids, unique among all nodes and their interfaces. Empty: <host name>:<iface>.");
DEFINE_string(audit_log, "", "File the records are appended to. Empty: /var/log/lattice/<iface>/audit.jsonl.");
DEFINE_string(audit_rotate_size, "64MiB", "Size at which the audit file becomes a closed segment. 0: never.");
DEFINE_string(audit_rotate_after, "0s", "Age at which the audit file becomes a closed segment. 0s: never.");
DEFINE_string(audit_max_size, "1GiB",
              "Size of all segments together; the oldest are deleted over it, and what was not yet published is told "
              "in a loss record. 0: no limit.");
DEFINE_string(audit_fsync, "interval", "interval | batch | always: when written records are forced to the disk.");
DEFINE_string(audit_fsync_interval, "1s", "Longest time before a written record is forced to the disk, for interval.");
DEFINE_string(audit_disk_full, "block",
              "block | drop | deny: when the audit file can't be written, keep the records in the kernel tables until "
              "it can (new flows are denied when those are full), drop and count them, or deny all traffic, live flows "
              "included.");
DEFINE_string(audit_key, "",
              "File with the Ed25519 private key (PEM, or the 32 bytes of a seed) that signs the digests of closed "
              "segments; made with mode 0600 if it is missing. Empty: <audit-log>.key.");

DEFINE_string(nats_url, "", "NATS server, nats://HOST:PORT or tls://HOST:PORT; repeatable. Empty: no publishing.");
DEFINE_string(nats_credentials, "", "File with JWT and NKey seed for NATS.");
DEFINE_string(nats_user, "", "User name for NATS, with --nats-password-file.");
DEFINE_string(nats_password_file, "", "File with the password of --nats-user.");
DEFINE_string(nats_token_file, "", "File with the token for NATS.");
DEFINE_string(nats_tls_ca, "", "PEM file with the authority of the NATS server. Empty: the system's authorities.");
DEFINE_string(nats_tls_cert, "", "PEM file with our certificate for NATS, with --nats-tls-key.");
DEFINE_string(nats_tls_key, "", "PEM file with the key of --nats-tls-cert.");

DEFINE_bool(
    nats_jetstream, true,
    "A record counts as published when the JetStream stream LATTICE_AUDIT, which latticed makes, has stored it. "
    "false: when a server received it by core NATS, for control planes without JetStream.");
DEFINE_string(agent_token_file, "",
              "File with the agent's JWT, which goes with every message to the control plane (header "
              "Lattice-Agent-Token). Needs JetStream.");

DEFINE_string(metrics_addr, "127.0.0.1:9478",
              "HOST:PORT of /metrics, /healthz and /readyz; port 0 takes a free one. Empty: none.");
DEFINE_string(admin_socket, "", "Unix socket of `lattice dp`, mode 0600. Empty: /run/lattice/dp-<iface>.sock.");
DEFINE_string(seccomp, "enforce",
              "enforce | log | off: refuse system calls the daemon doesn't use, only log them, or neither.");

namespace lattice::dp {
namespace {

struct Collected {
  std::vector<RuleFlag> rules;
  std::vector<std::string> cgroups;
  std::vector<std::string> nats_urls;
};

Collected& GetCollected() {
  static Collected collected;
  return collected;
}

// gflags runs validators once more at the end for flags that were not given: with the empty default, which adds
// nothing.
void CollectRules(const char* flag, lat_direction direction, bool allow, const std::string& value) {
  if (!absl::StripAsciiWhitespace(value).empty()) GetCollected().rules.push_back({flag, direction, allow, value});
}

void CollectTexts(const std::string& value, std::vector<std::string>* out) {
  for (absl::string_view text : absl::StrSplit(value, ',', absl::SkipEmpty())) out->emplace_back(text);
}

bool CollectEgressAllow(const char*, const std::string& value) {
  CollectRules("--egress-allow", LAT_EGRESS, true, value);
  return true;
}
bool CollectEgressDeny(const char*, const std::string& value) {
  CollectRules("--egress-deny", LAT_EGRESS, false, value);
  return true;
}
bool CollectIngressAllow(const char*, const std::string& value) {
  CollectRules("--ingress-allow", LAT_INGRESS, true, value);
  return true;
}
bool CollectCgroup(const char*, const std::string& value) {
  // A path may hold a comma: no list here.
  if (!value.empty()) GetCollected().cgroups.push_back(value);
  return true;
}
bool CollectNatsUrl(const char*, const std::string& value) {
  CollectTexts(value, &GetCollected().nats_urls);
  return true;
}

DEFINE_validator(egress_allow, &CollectEgressAllow);
DEFINE_validator(egress_deny, &CollectEgressDeny);
DEFINE_validator(ingress_allow, &CollectIngressAllow);
DEFINE_validator(cgroup, &CollectCgroup);
DEFINE_validator(nats_url, &CollectNatsUrl);

DaemonFlags CommandLine() {
  DaemonFlags line;
  line.program = "latticed-dp";
  line.about =
      "latticed-dp: lets only what the rules name pass an interface, and records every flow and denial.\n"
      "With no allow rule nothing leaves the interface. Enforcement stays when the daemon ends;\n"
      "`lattice dp detach --iface IFACE` removes it.\n\n"
      "  latticed-dp --iface wg0 --egress-allow 10.42.0.10/32 --egress-allow 0.0.0.0/0:443\n\n";
  line.groups = {
      {"What is enforced",
       {"iface", "egress_allow", "egress_deny", "egress_default_deny", "ingress_allow", "ingress_default_deny",
        "policy_file", "cgroup", "mode", "deny_loopback"}},
      {"How it is enforced",
       {"wait_iface", "pin_path", "max_flows", "flow_idle_timeout", "flow_tcp_idle_timeout", "flow_active_timeout",
        "on_table_full", "policy_memory", "tc_hook"}},
      {"Records",
       {"agent_name", "node", "audit_log", "audit_rotate_size", "audit_rotate_after", "audit_max_size", "audit_fsync",
        "audit_fsync_interval", "audit_disk_full", "audit_key"}},
      {"NATS",
       {"nats_url", "nats_credentials", "nats_user", "nats_password_file", "nats_token_file", "nats_tls_ca",
        "nats_tls_cert", "nats_tls_key", "nats_jetstream", "agent_token_file"}},
      {"Operation", {"metrics_addr", "admin_socket", "seccomp"}},
  };
  line.notes = absl::StrCat(
      "Durations: 500ms, 60s, 5m, 2h, 7d. Sizes: bytes, or with KiB, MiB, GiB.\n"
      "Log flags of glog work too, for example --v=1 and --minloglevel=1.\n"
      "Signals: HUP reads --policy-file again and reopens the audit file; TERM and INT stop the daemon.\n",
      ExitCodeHelp());
  line.example = "--iface wg0";
  line.usage_exit_code = kExitUsage;
  return line;
}

}  // namespace

FlagValues ParseFlags(int argc, char** argv) {
  ParseDaemonFlags(argc, argv, CommandLine());
  FlagValues values;
  values.iface = FLAGS_iface;
  values.rules = GetCollected().rules;
  values.egress_default_deny = FLAGS_egress_default_deny;
  if (!google::GetCommandLineFlagInfoOrDie("ingress_default_deny").is_default) {
    values.ingress_default_deny = FLAGS_ingress_default_deny;
  }
  values.policy_file = FLAGS_policy_file;
  values.cgroups = GetCollected().cgroups;
  values.mode = FLAGS_mode;
  values.deny_loopback = FLAGS_deny_loopback;
  values.wait_iface = FLAGS_wait_iface;
  values.pin_path = FLAGS_pin_path;
  values.max_flows = FLAGS_max_flows;
  values.flow_idle_timeout = FLAGS_flow_idle_timeout;
  values.flow_tcp_idle_timeout = FLAGS_flow_tcp_idle_timeout;
  values.flow_active_timeout = FLAGS_flow_active_timeout;
  values.on_table_full = FLAGS_on_table_full;
  values.policy_memory = FLAGS_policy_memory;
  values.tc_hook = FLAGS_tc_hook;
  values.agent_name = FLAGS_agent_name;
  values.node = FLAGS_node;
  values.audit_log = FLAGS_audit_log;
  values.audit_rotate_size = FLAGS_audit_rotate_size;
  values.audit_rotate_after = FLAGS_audit_rotate_after;
  values.audit_max_size = FLAGS_audit_max_size;
  values.audit_fsync = FLAGS_audit_fsync;
  values.audit_fsync_interval = FLAGS_audit_fsync_interval;
  values.audit_disk_full = FLAGS_audit_disk_full;
  values.audit_key = FLAGS_audit_key;
  values.nats_urls = GetCollected().nats_urls;
  values.nats_credentials = FLAGS_nats_credentials;
  values.nats_user = FLAGS_nats_user;
  values.nats_password_file = FLAGS_nats_password_file;
  values.nats_token_file = FLAGS_nats_token_file;
  values.nats_tls_ca = FLAGS_nats_tls_ca;
  values.nats_tls_cert = FLAGS_nats_tls_cert;
  values.nats_tls_key = FLAGS_nats_tls_key;
  values.nats_jetstream = FLAGS_nats_jetstream;
  values.agent_token_file = FLAGS_agent_token_file;
  values.metrics_addr = FLAGS_metrics_addr;
  values.admin_socket = FLAGS_admin_socket;
  values.seccomp = FLAGS_seccomp;
  return values;
}

}  // namespace lattice::dp
