#include "userspace/dp/options.h"

#include <net/if.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "userspace/base/status.h"
#include "userspace/base/units.h"
#include "userspace/base/version.h"

namespace lattice::dp {
namespace {

// Collects problems, so that the operator sees all of them at once.
class Problems {
 public:
  void Add(absl::string_view flag, absl::string_view value, absl::string_view problem) {
    texts_.push_back(absl::StrCat(flag, "=", value, ": ", problem));
  }
  void Add(std::string text) { texts_.push_back(std::move(text)); }
  absl::Status Result() const {
    if (texts_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrJoin(texts_, "\n"));
  }

 private:
  std::vector<std::string> texts_;
};

absl::Duration Duration(Problems& problems, absl::string_view flag, const std::string& value, absl::Duration least) {
  const auto duration = ParseDuration(value);
  if (!duration.ok()) {
    problems.Add(flag, value, duration.status().message());
    return least;
  }
  if (*duration < least) problems.Add(flag, value, absl::StrCat("must be at least ", PrintDuration(least)));
  return *duration;
}

// `least` 0 means that 0 ("never", "no limit") is allowed besides what is at least `otherwise`.
uint64_t Size(Problems& problems, absl::string_view flag, const std::string& value, uint64_t least, bool zero_allowed) {
  const auto size = ParseSize(value);
  if (!size.ok()) {
    problems.Add(flag, value, size.status().message());
    return least;
  }
  const bool fits = (*size == 0 && zero_allowed) || (*size >= least && *size <= (uint64_t{1} << 50));
  if (!fits) {
    problems.Add(flag, value, absl::StrCat("must be ", zero_allowed ? "0 or " : "", "at least ", PrintSize(least)));
  }
  return *size;
}

template <typename T, size_t N>
T Word(Problems& problems, absl::string_view flag, const std::string& value,
       const std::array<std::pair<absl::string_view, T>, N>& words) {
  for (const auto& [word, meaning] : words) {
    if (value == word) return meaning;
  }
  const auto print = [](std::string* out, const auto& word) { absl::StrAppend(out, word.first); };
  problems.Add(flag, value, absl::StrCat("expected one of: ", absl::StrJoin(words, ", ", print)));
  return words[0].second;
}

void AbsolutePath(Problems& problems, absl::string_view flag, const std::string& value) {
  if (!absl::StartsWith(value, "/")) problems.Add(flag, value, "must be an absolute path, beginning with /");
}

// Agent and node go into every record and, as ids, into headers.
void RecordName(Problems& problems, absl::string_view flag, const std::string& value) {
  const bool printable = std::all_of(value.begin(), value.end(),
                                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
  if (value.empty() || value.size() > 128 || !printable) {
    problems.Add(flag, value, "must be 1 to 128 printable ASCII characters without blanks");
  }
}

constexpr uint32_t kLeastFlows = 64;
constexpr uint32_t kMostFlows = 16 << 20;

void Datapath(Problems& problems, const FlagValues& flags, datapath::Options* out) {
  out->iface = flags.iface;
  out->wait_iface = flags.wait_iface;
  out->cgroups = flags.cgroups;
  out->version = Version();
  out->pin_path = flags.pin_path;
  AbsolutePath(problems, "--pin-path", flags.pin_path);
  for (const std::string& cgroup : flags.cgroups) AbsolutePath(problems, "--cgroup", cgroup);
  out->mode =
      Word<lat_mode, 2>(problems, "--mode", flags.mode, {{{"enforce", LAT_MODE_ENFORCE}, {"audit", LAT_MODE_AUDIT}}});
  out->max_flows = flags.max_flows;
  if (flags.max_flows < kLeastFlows || flags.max_flows > kMostFlows) {
    problems.Add(
        "--max-flows", absl::StrCat(flags.max_flows),
        absl::StrCat("must be from ", kLeastFlows, " to ", kMostFlows, ", about 200 bytes of kernel memory each"));
  }
  out->flow_idle_timeout = Duration(problems, "--flow-idle-timeout", flags.flow_idle_timeout, absl::Seconds(1));
  out->flow_tcp_idle_timeout =
      Duration(problems, "--flow-tcp-idle-timeout", flags.flow_tcp_idle_timeout, absl::Seconds(1));
  out->flow_active_timeout = Duration(problems, "--flow-active-timeout", flags.flow_active_timeout, absl::Seconds(1));
  out->table_full_allow =
      Word<bool, 2>(problems, "--on-table-full", flags.on_table_full, {{{"deny", false}, {"allow", true}}});
  out->policy_memory_bytes = Size(problems, "--policy-memory", flags.policy_memory, uint64_t{2} << 20, false);
  out->tc_kind = Word<datapath::TcKind, 3>(
      problems, "--tc-hook", flags.tc_hook,
      {{{"auto", datapath::TcKind::kAuto}, {"tcx", datapath::TcKind::kTcx}, {"clsact", datapath::TcKind::kClsact}}});
  out->loopback_allow = !flags.deny_loopback;
  if (flags.deny_loopback && flags.cgroups.empty()) {
    problems.Add("--deny-loopback", "true", "works on cgroups only; add --cgroup or leave it out");
  }
}

void Audit(Problems& problems, const FlagValues& flags, const HostFacts& host, Options* out) {
  audit::AuditFileOptions& audit = out->audit;
  out->make_audit_folder = flags.audit_log.empty();
  audit.path = flags.audit_log.empty() ? DefaultAuditLog(host.instance) : flags.audit_log;
  audit.agent_id = flags.agent_name.empty() ? host.host_name : flags.agent_name;
  RecordName(problems, "--agent-name", audit.agent_id);
  // Event ids are <node>/<boot>/<seq>, and each interface counts on its own.
  audit.node = flags.node.empty() ? absl::StrCat(host.host_name, ":", host.instance) : flags.node;
  RecordName(problems, "--node", audit.node);
  audit.iface = flags.iface;
  audit.parked_path = RunPath(host.instance, "losses");
  audit.mark_path = RunPath(host.instance, "seq");
  audit.rotate_bytes =
      static_cast<int64_t>(Size(problems, "--audit-rotate-size", flags.audit_rotate_size, 64 << 10, true));
  audit.rotate_after = Duration(problems, "--audit-rotate-after", flags.audit_rotate_after, absl::ZeroDuration());
  audit.spool_cap_bytes = static_cast<int64_t>(Size(problems, "--audit-max-size", flags.audit_max_size, 1 << 20, true));
  if (audit.spool_cap_bytes != 0 && audit.spool_cap_bytes < 2 * audit.rotate_bytes) {
    problems.Add("--audit-max-size", flags.audit_max_size,
                 "must be at least twice --audit-rotate-size, since only closed segments are deleted");
  }
  audit.sync = Word<audit::SyncPolicy, 3>(problems, "--audit-fsync", flags.audit_fsync,
                                          {{{"interval", audit::SyncPolicy::kInterval},
                                            {"batch", audit::SyncPolicy::kBatch},
                                            {"always", audit::SyncPolicy::kAlways}}});
  audit.sync_interval =
      Duration(problems, "--audit-fsync-interval", flags.audit_fsync_interval, absl::Milliseconds(100));
  audit.disk_full = Word<audit::DiskFull, 3>(
      problems, "--audit-disk-full", flags.audit_disk_full,
      {{{"block", audit::DiskFull::kBlock}, {"drop", audit::DiskFull::kDrop}, {"deny", audit::DiskFull::kDenyNew}}});
  audit.publishing = !flags.nats_urls.empty();
  out->audit_key = flags.audit_key.empty() ? audit.path + ".key" : flags.audit_key;
}

void Nats(Problems& problems, const FlagValues& flags, const HostFacts& host, nats::Options* out) {
  const std::pair<const char*, const std::string*> given[] = {
      {"--nats-credentials", &flags.nats_credentials},
      {"--nats-user", &flags.nats_user},
      {"--nats-password-file", &flags.nats_password_file},
      {"--nats-token-file", &flags.nats_token_file},
      {"--nats-tls-ca", &flags.nats_tls_ca},
      {"--nats-tls-cert", &flags.nats_tls_cert},
      {"--nats-tls-key", &flags.nats_tls_key},
      {"--agent-token-file", &flags.agent_token_file},
  };
  for (const auto& [flag, value] : given) {
    if (flags.nats_urls.empty() && !value->empty()) problems.Add(flag, *value, "needs --nats-url");
  }
  const auto pair = [&](absl::string_view a, const std::string& va, absl::string_view b, const std::string& vb) {
    if (va.empty() != vb.empty()) problems.Add(absl::StrCat(va.empty() ? b : a, " needs ", va.empty() ? a : b, " too"));
  };
  pair("--nats-user", flags.nats_user, "--nats-password-file", flags.nats_password_file);
  pair("--nats-tls-cert", flags.nats_tls_cert, "--nats-tls-key", flags.nats_tls_key);
  const int ways = !flags.nats_credentials.empty() + !flags.nats_user.empty() + !flags.nats_token_file.empty();
  if (ways > 1) {
    problems.Add("--nats-credentials, --nats-user and --nats-token-file are three ways to log in: give one of them");
  }
  out->urls = flags.nats_urls;
  out->name = absl::StrCat("latticed-dp ", host.host_name, ":", host.instance);
  out->credentials_file = flags.nats_credentials;
  out->user = flags.nats_user;
  out->password_file = flags.nats_password_file;
  out->token_file = flags.nats_token_file;
  out->tls_ca_file = flags.nats_tls_ca;
  out->tls_cert_file = flags.nats_tls_cert;
  out->tls_key_file = flags.nats_tls_key;
}

}  // namespace

absl::Status CheckInterfaceName(const std::string& name) {
  if (name.empty()) {
    return absl::InvalidArgumentError("--iface is missing: name the interface to enforce on, as in --iface wg0");
  }
  const bool bad_character = std::any_of(name.begin(), name.end(), [](char c) {
    return c == '/' || c == ':' || !absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
  if (name.size() >= IFNAMSIZ || bad_character || name == "." || name == "..") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--iface=", name, ": no interface can have this name; it has 1 to 15 characters without blanks, / and :"));
  }
  return absl::OkStatus();
}

std::string RunPath(const std::string& instance, absl::string_view suffix) {
  return absl::StrCat(kRunFolder, "/dp-", instance, ".", suffix);
}

std::string DefaultAdminSocket(const std::string& instance) {
  return RunPath(instance, "sock");
}

std::string DefaultAuditLog(const std::string& instance) {
  return absl::StrCat("/var/log/lattice/", instance, "/audit.jsonl");
}

absl::StatusOr<Options> MakeOptions(const FlagValues& flags, const HostFacts& host) {
  Problems problems;
  Options out;
  if (const absl::Status name = CheckInterfaceName(flags.iface); !name.ok()) problems.Add(std::string(name.message()));
  out.instance = host.instance;
  Datapath(problems, flags, &out.datapath);
  out.policy = {flags.rules, flags.egress_default_deny, flags.ingress_default_deny, flags.policy_file};
  Audit(problems, flags, host, &out);
  Nats(problems, flags, host, &out.nats);
  out.nats_jetstream = flags.nats_jetstream;
  out.agent_token_file = flags.agent_token_file;
  if (!flags.nats_jetstream && !flags.agent_token_file.empty()) {
    problems.Add("--agent-token-file", flags.agent_token_file, "needs JetStream: leave --nats-jetstream=false out");
  }
  out.metrics_addr = flags.metrics_addr;
  out.admin_socket = flags.admin_socket.empty() ? DefaultAdminSocket(host.instance) : flags.admin_socket;
  AbsolutePath(problems, "--admin-socket", out.admin_socket);
  if (out.admin_socket.size() >= sizeof(sockaddr_un::sun_path)) {
    problems.Add("--admin-socket", out.admin_socket,
                 absl::StrCat("a socket path has at most ", sizeof(sockaddr_un::sun_path) - 1, " bytes"));
  }
  if (const auto mode = ParseSeccompMode(flags.seccomp); mode.ok()) {
    out.seccomp = *mode;
  } else {
    problems.Add("--seccomp", flags.seccomp, "expected one of: enforce, log, off");
  }
  LATTICE_RETURN_IF_ERROR(problems.Result());
  LATTICE_RETURN_IF_ERROR(datapath::Validate(out.datapath));
  return out;
}

}  // namespace lattice::dp
