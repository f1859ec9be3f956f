// lattice up: this host as an agent of the overlay.
//
// Theory of operation. First who we are (credentials, or enrolment), then what the network is (GetNetMap until it has
// our address), then the interface, down; on it the policy; only then it gets its address and goes up, so that no
// packet passes unjudged. From there one loop: the configuration again every 15 s and whenever the control plane says
// so, a heartbeat every 30 s. Everything that was made goes at the end, in the opposite order: the members of Session.
//
// A control plane that does not answer changes nothing: peers and policy stay. One that says that we are revoked ends
// it.
#include <glog/logging.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "tools/lattice/agent_access.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/server_client.h"
#include "tools/lattice/up_control.h"
#include "tools/lattice/up_dataplane.h"
#include "tools/lattice/up_device.h"
#include "userspace/base/event_loop.h"
#include "userspace/base/notify.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"
#include "userspace/control/registry/identity.h"

namespace lattice::cli {
namespace {

constexpr absl::Duration kAddressPatience = absl::Seconds(60);
constexpr absl::Duration kAddressPoll = absl::Milliseconds(500);
constexpr absl::Duration kPull = absl::Seconds(15);
constexpr absl::Duration kHeartbeat = absl::Seconds(30);
// A burst of changes is pulled once.
constexpr absl::Duration kPokeDelay = absl::Milliseconds(100);

struct UpOptions {
  std::string name;
  std::string token;
  std::string iface;
  std::string config_dir;
  std::string endpoint;
  uint64_t port = 0;
  bool over_http = false;
  bool no_dataplane = false;
  std::string nats_credentials;
  std::string nats_tls_ca;
  std::vector<std::string> dataplane_flags;
};

void Say(absl::string_view text) {
  absl::FPrintF(stderr, "lattice up: %s\n", text);
}

// A signal that the loop will take has come already.
bool StopAsked() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

class Session {
 public:
  Session(const ServerClient& server, UpOptions options) : server_(server), options_(std::move(options)) {}
  absl::Status Run();

 private:
  absl::Status Identify();
  absl::StatusOr<control::AgentConfig> AwaitAddress();
  absl::Status BringUp(const control::AgentConfig& config);
  absl::Status Watch();
  void Pull();
  void Beat();
  void End(const absl::Status& status);
  absl::StatusOr<control::AgentConfig> Ask();
  void Warn(const std::vector<std::string>& warnings);

  const ServerClient& server_;
  const UpOptions options_;
  AgentAccess access_;
  std::unique_ptr<AgentControl> control_;
  std::vector<std::string> warned_;
  std::unique_ptr<EventLoop> loop_;
  bool pull_soon_ = false;
  absl::Status end_;
  // The end of an error on the way: first the programs go from the interface, then the interface.
  std::unique_ptr<AgentDevice> device_;
  std::unique_ptr<AgentDataplane> dataplane_;
};

absl::Status Session::Identify() {
  const AccessOptions options{.name = options_.name,
                              .config_dir = options_.config_dir,
                              .endpoint = options_.endpoint,
                              .port = static_cast<uint16_t>(options_.port),
                              .over_http = options_.over_http,
                              .nats_credentials = options_.nats_credentials,
                              .nats_tls_ca = options_.nats_tls_ca};
  LATTICE_ASSIGN_OR_RETURN(access_, AgentAccess::Load(options));
  LATTICE_ASSIGN_OR_RETURN(control_, Enter(server_, options, options_.token, access_));
  return absl::OkStatus();
}

absl::StatusOr<control::AgentConfig> Session::Ask() {
  std::vector<std::string> warnings;
  absl::StatusOr<control::AgentConfig> config = control_->GetNetMap(access_.identity, &warnings);
  Warn(warnings);
  if (config.ok() && config->status == "revoked") return absl::PermissionDeniedError("agent is revoked");
  return config;
}

void Session::Warn(const std::vector<std::string>& warnings) {
  if (warnings == warned_) return;  // said already
  for (const std::string& warning : warnings) Say(warning);
  warned_ = warnings;
}

absl::StatusOr<control::AgentConfig> Session::AwaitAddress() {
  const absl::Time deadline = absl::Now() + kAddressPatience;
  absl::Status last =
      absl::DeadlineExceededError("the control plane gave no address; is the agent pending (`lattice agents`)?");
  bool told = false;
  while (absl::Now() < deadline) {
    if (StopAsked()) return absl::CancelledError("stopped before the control plane gave an address");
    absl::StatusOr<control::AgentConfig> config = Ask();
    if (config.ok() && !config->address.empty()) return config;
    if (IsFinal(config.status())) {
      return absl::PermissionDeniedError(
          absl::StrCat(config.status().message(), "; to enroll again remove ", access_.credentials_path,
                       " and use a new token: lattice token create --name ", options_.name));
    }
    if (!config.ok()) last = config.status();
    if (config.ok() && config->status == "pending" && !std::exchange(told, true)) Say("waiting for approval");
    absl::SleepFor(kAddressPoll);
  }
  return last;
}

absl::Status Session::BringUp(const control::AgentConfig& config) {
  LATTICE_ASSIGN_OR_RETURN(device_, AgentDevice::Create(options_.iface, access_.credentials.private_key,
                                                        static_cast<uint16_t>(options_.port)));
  if (!options_.no_dataplane) {
    LATTICE_ASSIGN_OR_RETURN(dataplane_, AgentDataplane::Start({.iface = options_.iface,
                                                                .agent_name = options_.name,
                                                                .folder = options_.config_dir,
                                                                .jwt = access_.identity.jwt,
                                                                .nats_url = control_->nats_url(),
                                                                .more = options_.dataplane_flags},
                                                               config.rules));
  }
  LATTICE_RETURN_IF_ERROR(device_->SetAddress(config.address));
  std::vector<std::string> warnings;
  LATTICE_RETURN_IF_ERROR(device_->SetPeers(config.peers, &warnings));
  Warn(warnings);
  const std::string ready =
      absl::StrCat("\"", options_.name, "\" is up as ", config.address, " on ", options_.iface, " (",
                   device_->in_kernel() ? "kernel" : "own engine", "), ", Plural(config.peers.size(), "peer"));
  Say(ready);
  NotifyReady(ready);
  return absl::OkStatus();
}

void Session::End(const absl::Status& status) {
  end_ = status;
  loop_->Stop();
}

void Session::Pull() {
  pull_soon_ = false;
  const absl::StatusOr<control::AgentConfig> config = Ask();
  if (IsFinal(config.status())) return End(config.status());
  if (!config.ok()) return Warn({absl::StrCat("keeping what is in force: ", config.status().message())});
  std::vector<std::string> warnings;
  absl::Status status;
  // What is not allowed any more ends before what is allowed now begins.
  if (dataplane_ != nullptr) status = dataplane_->SetRules(config->rules);
  if (status.ok()) status = device_->SetPeers(config->peers, &warnings);
  if (status.ok() && !config->address.empty()) status = device_->SetAddress(config->address);
  if (!status.ok()) warnings.emplace_back(status.message());
  Warn(warnings);
}

void Session::Beat() {
  const absl::Status status = control_->Heartbeat(access_.identity);
  if (IsFinal(status)) End(status);
}

absl::Status Session::Watch() {
  const auto watch_end = [this](int fd, const char* what) {
    return loop_->AddFd(fd, EPOLLIN,
                        [this, what](uint32_t) { End(absl::InternalError(absl::StrCat(what, " has ended"))); });
  };
  if (device_->process_fd() >= 0) LATTICE_RETURN_IF_ERROR(watch_end(device_->process_fd(), "lattice wg run"));
  if (dataplane_ != nullptr) LATTICE_RETURN_IF_ERROR(watch_end(dataplane_->process_fd(), "latticed-dp"));
  if (control_->event_fd() >= 0) {
    LATTICE_RETURN_IF_ERROR(loop_->AddFd(control_->event_fd(), EPOLLIN, [this](uint32_t) {
      if (control_->TakePoke() && !std::exchange(pull_soon_, true)) loop_->AddOnce(kPokeDelay, [this] { Pull(); });
    }));
  }
  loop_->AddTimer(kPull, [this] { Pull(); });
  loop_->AddTimer(kHeartbeat, [this] { Beat(); });
  loop_->AddOnce(absl::ZeroDuration(), [this] { Beat(); });
  LATTICE_RETURN_IF_ERROR(loop_->Run());
  return end_;
}

absl::Status Session::Run() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  // From the beginning: whatever is made before the loop runs must go when a signal comes.
  for (const int signal : {SIGTERM, SIGINT}) {
    LATTICE_RETURN_IF_ERROR(loop_->AddSignal(signal, [this] { End(absl::OkStatus()); }));
  }
  LATTICE_RETURN_IF_ERROR(Identify());
  LATTICE_ASSIGN_OR_RETURN(const control::AgentConfig config, AwaitAddress());
  LATTICE_RETURN_IF_ERROR(BringUp(config));
  const absl::Status status = Watch();
  NotifyStopping();
  // The peers first: from here on the interface leads nowhere, whatever else is still there.
  std::vector<std::string> ignored;
  device_->SetPeers({}, &ignored).IgnoreError();
  dataplane_ = nullptr;
  device_ = nullptr;
  return status;
}

absl::Status Check(const UpOptions& options, const std::string& via) {
  if (options.name.empty())
    return absl::InvalidArgumentError("--name is required: what records and policies call this agent");
  LATTICE_RETURN_IF_ERROR(control::CheckName("--name", options.name));
  if (via != "nats" && via != "http")
    return absl::InvalidArgumentError(absl::StrCat("--via=", via, ": expected nats or http"));
  if (options.port < 1 || options.port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--port=", options.port, ": expected 1 to 65535"));
  }
  if (!options.endpoint.empty())
    LATTICE_RETURN_IF_ERROR(Annotate(control::CheckEndpoint(options.endpoint), "--endpoint"));
  if (geteuid() != 0) return absl::PermissionDeniedError("needs root, to make the interface and enforce its policy");
  return absl::OkStatus();
}

}  // namespace

ExitCode RunUp(const Words& words) {
  Args args("lattice up", "Joins the overlay as an agent: enrolls, brings WireGuard up, enforces the agent's policy.");
  ServerClient server(args, ServerClient::Login::kNone);
  UpOptions options;
  std::string& name = args.Text("name", "", "AGENT", "This agent's name.");
  std::string& token = args.Text("token", "", "TOKEN", "From `lattice token create`; not needed once enrolled.");
  std::string& iface = args.Text("iface", "wg0", "NAME", "WireGuard interface to make.");
  std::string& config_dir = args.Text("config-dir", ConfigDir(), "DIR", "For the credentials.");
  uint64_t& port = args.Number("port", 51820, "UDP port of WireGuard.");
  std::string& endpoint = args.Text("endpoint", "", "HOST:PORT", "Where peers reach it; empty: found out.");
  std::string& via = args.Text("via", "nats", "WAY", "nats, or http: asks every 15 s and hears of nothing between.");
  std::string& credentials = args.Text("nats-credentials", "", "FILE", "JWT and NKey seed for NATS.");
  std::string& tls_ca = args.Text("nats-tls-ca", "", "FILE", "PEM file with the authority of the NATS server.");
  bool& no_dataplane = args.Switch("no-dataplane", "Enforce and record nothing: latticed-dp is not started.");
  args.Note(
      "Runs until SIGTERM, then removes what it made; the credentials stay. What follows a lone -- goes to\n"
      "latticed-dp: lattice up --name a -- --audit-log=/var/log/a.jsonl");
  const auto split = std::find(words.begin(), words.end(), "--");
  if (const absl::Status parsed = args.Parse(Words(words.begin(), split)); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  if (split != words.end()) options.dataplane_flags.assign(split + 1, words.end());
  options.name = name;
  options.token = token;
  options.iface = iface;
  options.config_dir = config_dir;
  options.port = port;
  options.endpoint = endpoint;
  options.over_http = via == "http";
  options.no_dataplane = no_dataplane;
  options.nats_credentials = credentials;
  options.nats_tls_ca = tls_ca;
  if (const absl::Status good = Check(options, via); !good.ok()) return Fail(good);
  if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  const absl::Status status = Session(server, std::move(options)).Run();
  return status.ok() ? kOk : Fail(status);
}

}  // namespace lattice::cli
