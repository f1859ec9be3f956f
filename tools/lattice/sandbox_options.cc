#include "tools/lattice/sandbox_options.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tools/lattice/server_client.h"
#include "userspace/base/file.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/identity.h"

namespace lattice::cli {
namespace {

constexpr uint16_t kDnsPort = 53;
constexpr size_t kMaxSecretBytes = 64 << 10;

absl::Status Bad(absl::string_view flag, absl::string_view value, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(flag, "=", value, ": ", what));
}

void AddRules(const std::vector<std::string>& values, const char* flag, lat_direction direction, bool allow,
              std::vector<dp::RuleFlag>* rules) {
  for (const std::string& value : values)
    rules->push_back({.flag = flag, .direction = direction, .allow = allow, .text = value});
}

// "10.42.0.53", "10.42.0.53:5353", "[fd00::53]:5353", "fd00::53"
absl::StatusOr<Endpoint> ParseDns(const std::string& text) {
  if (const auto bare = IpAddress::Parse(text); bare.ok()) return Endpoint{.address = *bare, .port = kDnsPort};
  const auto parts = wireguard::ParseHostPort(text);
  const auto address = parts.ok() ? IpAddress::Parse(parts->host) : parts.status();
  if (!address.ok()) return Bad("--dns", text, "expected the address of a name server on the overlay, ADDRESS[:PORT]");
  return Endpoint{.address = *address, .port = parts->port};
}

}  // namespace

std::string SandboxConfigDir() {
  if (getenv("LATTICE_CONFIG_DIR") != nullptr || geteuid() == 0) return ConfigDir();
  if (const char* state = getenv("XDG_STATE_HOME"); state != nullptr && *state == '/')
    return absl::StrCat(state, "/lattice");
  const char* const home = getenv("HOME");
  return home != nullptr && *home == '/' ? absl::StrCat(home, "/.local/state/lattice") : ConfigDir();
}

SandboxFlags::SandboxFlags(Args& args, bool run)
    : run_(run),
      name_(args.Text("name", "", "NAME", "This sandbox: what records and policies call it.")),
      mode_(args.Text("mode", "pod", "MODE", "pod: all in this process, without privileges.")),
      token_(args.Text("token", "", "TOKEN", "From `lattice token create`; not needed once enrolled.")),
      token_file_(args.Text("token-file", "", "FILE", "The same from a file.")),
      wg_config_(args.Text("wg-config", "", "FILE", "A wg-quick file in place of a control plane.")),
      egress_allow_(args.List("egress-allow", "RULE", "CIDR[:PORTS][/PROTO] to allow; again and again, or commas.")),
      egress_deny_(args.List("egress-deny", "RULE", "To deny, whatever is allowed.")),
      egress_default_deny_(args.Switch("egress-default-deny", "Deny what no rule allows.", /*on=*/true)),
      ingress_allow_(args.List("ingress-allow", "RULE", "Who may come to --forward ports; none: everybody.")),
      policy_file_(args.Text("policy-file", "", "FILE", "More rules; its changes are in force within a second.")),
      forward_(args.List("forward", "SPEC", "PORT[/udp]:HOST:PORT or PORT:unix:/PATH, from the overlay to here.")),
      forward_proxy_protocol_(args.Switch("forward-proxy-protocol", "Tell targets who came (PROXY protocol v2).")),
      proxy_addr_(args.Text("proxy-addr", run ? "127.0.0.1:0" : "", "ADDR",
                            "SOCKS5 and HTTP proxy: HOST:PORT or a Unix socket's path.")),
      proxy_auth_(args.List("proxy-auth", "USER:PW", "Ask clients of the proxy for it.")),
      proxy_auth_file_(args.Text("proxy-auth-file", "", "FILE", "The same, a pair a line.")),
      dns_(args.List("dns", "ADDR", "Name servers on the overlay.")),
      audit_log_(args.Text("audit-log", "", "FILE", "Records; default /tmp/lattice-audit-NAME.jsonl.")),
      disk_full_(args.Text("audit-disk-full", "block", "HOW",
                           "block: records wait, then are counted; drop: are counted; deny: no new flows.")),
      metrics_addr_(args.Text("metrics-addr", "", "HOST:PORT", "Metrics, /healthz and /readyz; empty: nowhere.")),
      config_dir_(args.Text("config-dir", SandboxConfigDir(), "DIR", "For the credentials.")),
      port_(args.Number("port", 0, "UDP port of WireGuard; 0: any.")),
      endpoint_(args.Text("endpoint", "", "HOST:PORT", "Where peers reach it; empty: it goes to them.")),
      mtu_(args.Number("mtu", 1420, "Of the overlay, 1280 to 65535 bytes.")),
      via_(args.Text("via", "nats", "WAY", "nats, or http: asks every 15 s and hears of nothing between.")),
      nats_credentials_(args.Text("nats-credentials", "", "FILE", "JWT and NKey seed for NATS.")),
      nats_tls_ca_(args.Text("nats-tls-ca", "", "FILE", "PEM file with the authority of the NATS server.")),
      ready_timeout_(args.Number("ready-timeout", 10, "Seconds until a peer must have answered.")),
      ready_fd_(args.Text("ready-fd", "", "FD", "Gets the line \"ready\" when it is, and is closed.")) {}

absl::Status SandboxFlags::JudgeToken(SandboxOptions& options) const {
  options.token = token_;
  if (!wg_config_.empty() && !(token_.empty() && token_file_.empty())) {
    return absl::InvalidArgumentError("--wg-config and --token: a wg-quick file takes the place of a control plane");
  }
  if (token_file_.empty()) return absl::OkStatus();
  if (!token_.empty()) return absl::InvalidArgumentError("--token and --token-file: give one of them");
  const auto text = ReadFile(token_file_, kMaxSecretBytes);
  if (!text.ok()) return Annotate(text.status(), "--token-file");
  options.token = std::string(absl::StripAsciiWhitespace(*text));
  return absl::OkStatus();
}

absl::Status SandboxFlags::JudgeProxy(SandboxOptions& options) const {
  std::vector<socks::Account> accounts;
  for (const std::string& pair : proxy_auth_)
    LATTICE_RETURN_IF_ERROR(Annotate(socks::AddAccount(pair, &accounts), "--proxy-auth"));
  if (!proxy_auth_file_.empty()) {
    const auto text = ReadFile(proxy_auth_file_, kMaxSecretBytes);
    if (!text.ok()) return Annotate(text.status(), "--proxy-auth-file");
    auto more = socks::ParseAccounts(*text, proxy_auth_file_);
    if (!more.ok()) return Annotate(more.status(), "--proxy-auth-file");
    accounts.insert(accounts.end(), more->begin(), more->end());
  }
  if (proxy_addr_.empty()) {
    if (accounts.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError("--proxy-auth: there is no proxy; add --proxy-addr");
  }
  options.proxy = sandbox::ProxyOptions{.address = proxy_addr_, .accounts = std::move(accounts)};
  return absl::OkStatus();
}

absl::StatusOr<SandboxOptions> SandboxFlags::Judge(std::vector<std::string> command) const {
  SandboxOptions options;
  if (name_.empty()) return absl::InvalidArgumentError("--name is required: what records and policies call it");
  LATTICE_RETURN_IF_ERROR(control::CheckName("--name", name_));
  options.name = name_;
  if (mode_ == "gvisor") return absl::UnimplementedError("--mode=gvisor: not there yet; use --mode pod");
  if (mode_ != "pod") return Bad("--mode", mode_, "expected pod");
  if (via_ != "nats" && via_ != "http") return Bad("--via", via_, "expected nats or http");
  if (port_ > 65535) return Bad("--port", absl::StrCat(port_), "expected 0 to 65535");
  if (mtu_ < 1280 || mtu_ > 65535) return Bad("--mtu", absl::StrCat(mtu_), "expected 1280 to 65535");
  if (!endpoint_.empty()) {
    LATTICE_RETURN_IF_ERROR(Annotate(control::CheckEndpoint(endpoint_), "--endpoint"));
    if (port_ == 0) return Bad("--endpoint", endpoint_, "needs --port, which it leads to");
  }
  if (ready_timeout_ < 1 || ready_timeout_ > 86400)
    return Bad("--ready-timeout", absl::StrCat(ready_timeout_), "expected 1 to 86400 seconds");
  if (!ready_fd_.empty()) {
    int fd;
    if (!absl::SimpleAtoi(ready_fd_, &fd) || fd < 0 || fcntl(fd, F_GETFD) < 0)
      return Bad("--ready-fd", ready_fd_, "no open file descriptor");
    options.ready_fd = fd;
  }
  if (run_ && command.empty()) return absl::InvalidArgumentError("no COMMAND: lattice sandbox run [flags] -- COMMAND");
  options.wg_config = wg_config_;
  LATTICE_RETURN_IF_ERROR(JudgeToken(options));
  options.config_dir = config_dir_;
  options.over_http = via_ == "http";
  options.nats_credentials = nats_credentials_;
  options.nats_tls_ca = nats_tls_ca_;
  options.endpoint = endpoint_;
  options.port = static_cast<uint16_t>(port_);
  options.mtu = mtu_;
  for (const std::string& list : dns_) {
    for (const absl::string_view one : absl::StrSplit(list, ',')) {
      LATTICE_ASSIGN_OR_RETURN(const Endpoint server, ParseDns(std::string(absl::StripAsciiWhitespace(one))));
      options.dns.push_back(server);
    }
  }
  AddRules(egress_allow_, "--egress-allow", LAT_EGRESS, true, &options.rules);
  AddRules(egress_deny_, "--egress-deny", LAT_EGRESS, false, &options.rules);
  AddRules(ingress_allow_, "--ingress-allow", LAT_INGRESS, true, &options.rules);
  options.egress_default_deny = egress_default_deny_;
  options.policy_file = policy_file_;
  LATTICE_RETURN_IF_ERROR(JudgeProxy(options));
  LATTICE_ASSIGN_OR_RETURN(options.forwards, sandbox::ParseForwards(forward_));
  options.forward_proxy_protocol = forward_proxy_protocol_;
  options.audit_log = audit_log_.empty() ? absl::StrCat("/tmp/lattice-audit-", name_, ".jsonl") : audit_log_;
  if (disk_full_ == "deny") {
    options.disk_full = audit::DiskFull::kDenyNew;
  } else if (disk_full_ == "drop") {
    options.disk_full = audit::DiskFull::kDrop;
  } else if (disk_full_ != "block") {
    return Bad("--audit-disk-full", disk_full_, "expected block, drop or deny");
  }
  options.metrics_addr = metrics_addr_;
  options.ready_timeout = absl::Seconds(static_cast<int64_t>(ready_timeout_));
  options.command = std::move(command);
  return options;
}

}  // namespace lattice::cli
