// lattice sandbox start | run: a sandbox in pod mode (userspace/sandbox/pod.h) from the command line.
//
// Theory of operation. First who we are and what the overlay is (sandbox_setup.h), then the audit file, the pod without
// any port, its peers; when one of them has answered, the forwards, the proxy, and "ready"; then the command of `run`.
// From there one loop. The control plane is talked to by a thread of its own, records are written by another, and
// published by a third; none of them touches the pod. At the end everything goes in the opposite order: the members of
// SandboxSession.
#include <glog/logging.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "tools/lattice/commands.h"
#include "tools/lattice/sandbox_child.h"
#include "tools/lattice/sandbox_control.h"
#include "tools/lattice/sandbox_lock.h"
#include "tools/lattice/sandbox_metrics.h"
#include "tools/lattice/sandbox_options.h"
#include "tools/lattice/sandbox_policy.h"
#include "tools/lattice/sandbox_setup.h"
#include "userspace/audit/publisher.h"
#include "userspace/base/file.h"
#include "userspace/base/notify.h"
#include "userspace/base/plural.h"
#include "userspace/base/status.h"

namespace lattice::cli {
namespace {

constexpr char kIface[] = "wg0";  // what records call the overlay
constexpr absl::Duration kHandshakePoll = absl::Milliseconds(10);
constexpr absl::Duration kPolicyFilePoll = absl::Milliseconds(500);
constexpr absl::Duration kTick = absl::Seconds(1);
constexpr absl::Duration kWriterStop = absl::Seconds(10);
constexpr absl::Duration kPublisherStop = absl::Seconds(5);
constexpr absl::Duration kChildPatience = absl::Seconds(5);
// A session is renewed after 120 s and dead after 180 s (WireGuard paper, 6.1); where nothing is sent, there need be
// none.
constexpr absl::Duration kStaleHandshake = absl::Minutes(4);

void Say(absl::string_view text) {
  absl::FPrintF(stderr, "lattice sandbox: %s\n", text);
}

// A signal that the loop will take has come already.
bool StopAsked() {
  sigset_t pending;
  sigemptyset(&pending);
  sigpending(&pending);
  return sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1;
}

// Keys and tokens are in memory: not in a core, and not for another process of this user. A connection is a descriptor.
absl::Status PrepareProcess() {
  const rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  if (setrlimit(RLIMIT_CORE, &no_core) != 0) return ErrnoStatus(errno, "setrlimit(RLIMIT_CORE)");
  if (prctl(PR_SET_DUMPABLE, 0) != 0) return ErrnoStatus(errno, "prctl(PR_SET_DUMPABLE)");
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return ErrnoStatus(errno, "getrlimit(RLIMIT_NOFILE)");
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) return ErrnoStatus(errno, "setrlimit(RLIMIT_NOFILE)");
  if (signal(SIGPIPE, SIG_IGN) == SIG_ERR) return ErrnoStatus(errno, "ignoring SIGPIPE");
  return absl::OkStatus();
}

class SandboxSession {
 public:
  SandboxSession(const ServerClient& server, SandboxOptions options) : server_(server), options_(std::move(options)) {}

  // What the process ends with.
  absl::StatusOr<int> Run();

 private:
  absl::Status Start();
  absl::Status AddSignals();
  absl::Status OpenRecords();
  absl::Status StartPublisher();
  absl::Status MakePod();
  absl::Status StartControl();
  void AwaitHandshake();
  absl::Status Ready();
  absl::Status StartChild();
  void OnConfig(const control::AgentConfig& config);
  void OnHangup();
  void ReadPolicyFile();
  void ApplyPolicy();
  void OnSignal(int signal);
  void End(const absl::Status& status);
  void Stop();
  std::string NotReady() const;
  std::string StatePath(absl::string_view suffix) const;

  const ServerClient& server_;
  const SandboxOptions options_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<SandboxLock> lock_;
  std::unique_ptr<SandboxPolicy> policy_;
  SandboxSetup setup_;
  sandbox::EgressFilter filter_;
  std::shared_ptr<audit::SigningKey> signing_key_;
  std::unique_ptr<dp::NatsSink> sink_;
  std::unique_ptr<audit::Publisher> publisher_;
  std::unique_ptr<sandbox::RecordWriter> writer_;
  std::unique_ptr<sandbox::Pod> pod_;
  std::unique_ptr<SandboxMetrics> metrics_;
  std::unique_ptr<SandboxControl> control_;
  std::unique_ptr<SandboxChild> child_;
  EventLoop::TimerId handshake_timer_ = 0;
  absl::Time waiting_since_;
  bool ready_ = false;
  int exit_code_ = 0;
  absl::Status end_;
};

// In the folder of the credentials.
std::string SandboxSession::StatePath(absl::string_view suffix) const {
  return absl::StrCat(options_.config_dir, "/sandbox-", options_.name, ".", suffix);
}

absl::StatusOr<int> SandboxSession::Run() {
  absl::Status status = Start();
  if (status.ok()) status = loop_->Run();
  if (status.ok()) status = end_;
  Stop();
  LATTICE_RETURN_IF_ERROR(status);
  return exit_code_;
}

absl::Status SandboxSession::Start() {
  LATTICE_RETURN_IF_ERROR(PrepareProcess());
  LATTICE_ASSIGN_OR_RETURN(SandboxPolicy policy,
                           SandboxPolicy::Load(options_.rules, options_.egress_default_deny, options_.policy_file));
  policy_ = std::make_unique<SandboxPolicy>(std::move(policy));
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  LATTICE_RETURN_IF_ERROR(AddSignals());  // before any thread, so that all block them
  LATTICE_RETURN_IF_ERROR(Annotate(MakeDirectories(options_.config_dir, 0700), "--config-dir"));
  LATTICE_ASSIGN_OR_RETURN(SandboxLock lock, SandboxLock::Acquire(options_.name, options_.config_dir));
  lock_ = std::make_unique<SandboxLock>(std::move(lock));
  auto setup = options_.wg_config.empty() ? SetupFromControl(server_, options_, &StopAsked, &Say)
                                          : SetupFromFile(options_.wg_config);
  LATTICE_RETURN_IF_ERROR(setup.status());
  setup_ = *std::move(setup);
  if (setup_.access.has_value()) LATTICE_RETURN_IF_ERROR(policy_->SetPushed(setup_.last.config.rules));
  LATTICE_RETURN_IF_ERROR(OpenRecords());
  LATTICE_RETURN_IF_ERROR(MakePod());
  LATTICE_RETURN_IF_ERROR(StartControl());
  waiting_since_ = absl::Now();
  handshake_timer_ = loop_->AddTimer(kHandshakePoll, [this] { AwaitHandshake(); });
  AwaitHandshake();
  return absl::OkStatus();
}

absl::Status SandboxSession::AddSignals() {
  for (const int signal : {SIGTERM, SIGINT}) {
    LATTICE_RETURN_IF_ERROR(loop_->AddSignal(signal, [this, signal] { OnSignal(signal); }));
  }
  return loop_->AddSignal(SIGHUP, [this] { OnHangup(); });
}

absl::Status SandboxSession::OpenRecords() {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  audit::AuditFileOptions options;
  options.path = options_.audit_log;
  options.node = absl::StrCat(host, ":sandbox-", options_.name);
  options.agent_id = options_.name;
  options.iface = kIface;
  options.disk_full = options_.disk_full;
  options.publishing = !setup_.last.nats_url.empty();
  options.mark_path = StatePath("seq");
  LATTICE_ASSIGN_OR_RETURN(options.boot, audit::ReadBootId());
  LATTICE_ASSIGN_OR_RETURN(signing_key_, audit::SigningKey::LoadOrCreate(StatePath("audit.key")));
  options.signing_key = signing_key_;
  if (options_.disk_full == audit::DiskFull::kDenyNew) {
    options.on_disk_failing = [this](bool failing) { loop_->Post([this, failing] { filter_.SetClosed(failing); }); };
  }
  const std::string node = options.node;
  auto file = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(), std::move(options));
  LATTICE_RETURN_IF_ERROR(file.status());
  if (!setup_.last.nats_url.empty()) {
    LATTICE_RETURN_IF_ERROR(WriteFileAtomically(StatePath("token"), setup_.access->identity.jwt + "\n", 0600));
    dp::NatsSinkOptions sink{.stream = {.agent_token_file = StatePath("token")}};
    sink.nats.urls = {setup_.last.nats_url};
    sink.nats.name = absl::StrCat("lattice sandbox ", options_.name);
    sink.nats.agent_token_file = StatePath("token");
    sink.nats.credentials_file = options_.nats_credentials;
    sink.nats.tls_ca_file = options_.nats_tls_ca;
    sink_ = std::make_unique<dp::NatsSink>(std::move(sink));
    audit::PublisherOptions publishing;
    publishing.audit_path = options_.audit_log;
    publishing.heads = {.node = node, .agent_id = options_.name, .public_key = signing_key_->public_key()};
    publishing.on_loss = [this](const audit::Loss& loss) { writer_->AddLoss(loss); };
    LATTICE_ASSIGN_OR_RETURN(
        publisher_, audit::Publisher::Create(audit::RealFileSystem(), RealClock(), *sink_, std::move(publishing)));
  }
  writer_ = sandbox::RecordWriter::Create(
      *std::move(file), {.on_written = [publisher = publisher_.get()](uint64_t records, const audit::Head& newest) {
        if (publisher != nullptr) publisher->Written(records, newest);
      }});
  writer_->Start();
  if (publisher_ != nullptr) publisher_->Start();
  return absl::OkStatus();
}

absl::Status SandboxSession::MakePod() {
  sandbox::PodOptions options;
  options.private_key = setup_.private_key;
  options.addresses = setup_.addresses;
  options.listen_port = options_.port != 0 ? options_.port : setup_.port;
  options.mtu = setup_.mtu.value_or(options_.mtu);
  options.dns = options_.dns.empty() ? setup_.dns : options_.dns;
  options.proxy = options_.proxy;
  options.forwards = options_.forwards;
  options.forward.proxy_protocol = options_.forward_proxy_protocol;
  options.log.agent_id = options_.name;
  options.log.iface = kIface;
  LATTICE_ASSIGN_OR_RETURN(pod_, sandbox::Pod::Create(*loop_, RealClock(), filter_, *writer_, std::move(options)));
  filter_.OnChange([this] { pod_->PolicyChanged(); });
  ApplyPolicy();
  LATTICE_RETURN_IF_ERROR(pod_->SetPeers(setup_.peers));
  if (!options_.policy_file.empty()) loop_->AddTimer(kPolicyFilePoll, [this] { ReadPolicyFile(); });
  if (sink_ != nullptr) loop_->AddTimer(kTick, [this] { sink_->LogEvents(); });
  if (options_.metrics_addr.empty()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(metrics_, SandboxMetrics::Serve(*loop_, options_.metrics_addr,
                                                           {.pod = *pod_,
                                                            .filter = filter_,
                                                            .writer = *writer_,
                                                            .publisher = publisher_.get(),
                                                            .sink = sink_.get(),
                                                            .not_ready = [this] { return NotReady(); }}));
  Say(absl::StrCat("metrics on http://", metrics_->address(), "/metrics"));
  return absl::OkStatus();
}

absl::Status SandboxSession::StartControl() {
  if (!setup_.access.has_value()) return absl::OkStatus();
  control_ = std::make_unique<SandboxControl>(
      *loop_, server_, AccessOf(options_), *setup_.access, std::move(setup_.control),
      SandboxControl::Events{.on_config = [this](const control::AgentConfig& config) { OnConfig(config); },
                             .on_final = [this](const absl::Status& status) { End(status); },
                             .on_warning = [](const std::string& warning) { Say(warning); }});
  return control_->Start();
}

// Where no peer has an endpoint, they come to us, and there is nothing to wait for.
void SandboxSession::AwaitHandshake() {
  const bool expected = std::any_of(setup_.peers.begin(), setup_.peers.end(),
                                    [](const sandbox::PodPeer& peer) { return peer.endpoint.has_value(); });
  if (expected && !pod_->last_handshake().has_value()) {
    const absl::Duration waited = absl::Now() - waiting_since_;
    if (waited < options_.ready_timeout) return;
    waiting_since_ = absl::Now();
    std::vector<std::string> where;
    for (const sandbox::PodPeer& peer : setup_.peers) {
      if (peer.endpoint.has_value()) where.push_back(absl::StrCat(peer.endpoint->host, ":", peer.endpoint->port));
    }
    const std::string why =
        absl::StrCat("no peer has answered for ", absl::FormatDuration(options_.ready_timeout), " (",
                     absl::StrJoin(where, ", "), "): does UDP get there, and do they know our key?");
    if (!options_.command.empty()) return End(absl::DeadlineExceededError(why));
    return Say(absl::StrCat(why, " Still trying"));
  }
  loop_->RemoveTimer(handshake_timer_);
  if (const absl::Status status = Ready(); !status.ok()) End(status);
}

absl::Status SandboxSession::Ready() {
  LATTICE_RETURN_IF_ERROR(pod_->Open());
  LATTICE_RETURN_IF_ERROR(StartChild());
  ready_ = true;
  std::vector<std::string> addresses;
  for (const IpAddress& address : setup_.addresses) addresses.push_back(address.ToString());
  const std::string proxy = pod_->proxy_address();
  const std::string line =
      absl::StrCat("ready: \"", options_.name, "\" is ", absl::StrJoin(addresses, ", "),
                   proxy.empty() ? "" : absl::StrCat(", proxy on ", proxy), ", ",
                   Plural(filter_.rules().egress.size(), "egress rule"), ", records in ", options_.audit_log);
  // Of `run`, the output is the command's.
  if (options_.command.empty()) {
    absl::PrintF("%s\n", line);
    fflush(stdout);
  }
  NotifyReady(line);
  if (!options_.ready_fd.has_value()) return absl::OkStatus();
  const UniqueFd fd(*options_.ready_fd);
  return Annotate(WriteAll(fd.get(), "ready\n"), "--ready-fd");
}

absl::Status SandboxSession::StartChild() {
  if (options_.command.empty()) return absl::OkStatus();
  LATTICE_ASSIGN_OR_RETURN(
      child_, SandboxChild::Start(options_.command, ProxyEnvironment(pod_->proxy_address(), options_.name)));
  return loop_->AddFd(child_->fd(), EPOLLIN, [this](uint32_t) {
    loop_->RemoveFd(child_->fd());
    exit_code_ = child_->ExitCode();
    child_ = nullptr;
    loop_->Stop();
  });
}

void SandboxSession::OnConfig(const control::AgentConfig& config) {
  if (config == setup_.last.config) return;
  if (!config.address.empty() && config.address != setup_.last.config.address) {
    return End(absl::FailedPreconditionError(absl::StrCat(
        "the control plane moved it from ", setup_.last.config.address, " to ", config.address, ": start it again")));
  }
  std::vector<std::string> warnings;
  // What is not allowed any more ends before what is allowed now begins.
  if (config.rules != setup_.last.config.rules) {
    const absl::Status pushed = policy_->SetPushed(config.rules);
    pushed.ok() ? ApplyPolicy() : Say(absl::StrCat("keeping the rules in force: ", pushed.message()));
  }
  if (config.peers != setup_.last.config.peers) {
    setup_.peers = PeersOf(config, &warnings);
    if (const absl::Status set = pod_->SetPeers(setup_.peers); !set.ok()) warnings.emplace_back(set.message());
  }
  setup_.last.config = config;
  if (const absl::Status stored = StoreNetMap(NetMapPath(options_), setup_.last); !stored.ok())
    warnings.emplace_back(stored.message());
  for (const std::string& warning : warnings) Say(warning);
}

void SandboxSession::OnHangup() {
  writer_->Reopen();
  if (sink_ != nullptr) sink_->ReadSecretsAgain();
  ReadPolicyFile();
  if (child_ != nullptr) child_->Signal(SIGHUP);
}

void SandboxSession::ReadPolicyFile() {
  const absl::StatusOr<bool> read = policy_->ReadAgain();
  if (!read.ok()) return Say(absl::StrCat("keeping the rules in force: ", read.status().message()));
  if (*read) ApplyPolicy();
}

void SandboxSession::ApplyPolicy() {
  for (const std::string& warning : policy_->TakeWarnings()) Say(warning);
  filter_.Replace(policy_->Rules());
}

void SandboxSession::OnSignal(int signal) {
  if (child_ == nullptr) return loop_->Stop();
  // The terminal has sent it to the whole group.
  if (signal == SIGINT && isatty(STDIN_FILENO) == 1) return;
  child_->Signal(signal);
}

void SandboxSession::End(const absl::Status& status) {
  end_ = status;
  if (child_ == nullptr) return loop_->Stop();
  Say(absl::StrCat("ending the command: ", status.message()));
  child_->Signal(SIGTERM);
  loop_->AddOnce(kChildPatience, [this] {
    if (child_ != nullptr) child_->Signal(SIGKILL);
  });
}

void SandboxSession::Stop() {
  NotifyStopping();
  control_ = nullptr;
  child_ = nullptr;
  metrics_ = nullptr;
  pod_ = nullptr;  // ends the flows
  if (writer_ != nullptr) {
    if (const absl::Status stopped = writer_->Stop(kWriterStop); !stopped.ok())
      Say(absl::StrCat("not all records are in ", options_.audit_log, ": ", stopped.message()));
  }
  if (publisher_ != nullptr) publisher_->Stop(kPublisherStop);
}

std::string SandboxSession::NotReady() const {
  if (!ready_) return "no peer has answered yet";
  const auto last = pod_->last_handshake();
  const bool expected = std::any_of(setup_.peers.begin(), setup_.peers.end(), [](const sandbox::PodPeer& peer) {
    return peer.endpoint.has_value() && peer.persistent_keepalive_s != 0;
  });
  if (!expected || (last.has_value() && absl::Now() - *last < kStaleHandshake)) return "";
  return "no handshake with any peer for 4 minutes";
}

ExitCode RunSandbox(const Words& words, bool run) {
  Args args(run ? "lattice sandbox run" : "lattice sandbox start",
            run ? "Runs COMMAND with the overlay as its network, filtered and recorded."
                : "Joins the overlay in this process, without privileges: proxy, forwards, filter, records.");
  ServerClient server(args, ServerClient::Login::kNone);
  SandboxFlags flags(args, run);
  args.Note(run ? "usage: lattice sandbox run [flags] -- COMMAND [ARGUMENT…]\nEnds as COMMAND does, with its exit code."
                : "Runs until SIGTERM. SIGHUP reads --policy-file again and opens the audit file anew.");
  const auto split = run ? std::find(words.begin(), words.end(), "--") : words.end();
  if (const absl::Status parsed = args.Parse(Words(words.begin(), split)); !parsed.ok()) return Fail(parsed);
  if (args.help()) {
    absl::PrintF("%s", args.HelpText());
    return kOk;
  }
  auto options = flags.Judge(split == words.end() ? Words() : Words(split + 1, words.end()));
  if (!options.ok()) return Fail(options.status());
  if (options->wg_config.empty()) {
    if (const absl::Status resolved = server.Resolve(); !resolved.ok()) return Fail(resolved);
  }
  FLAGS_minloglevel = google::GLOG_WARNING;
  const bool running = !options->command.empty();
  const auto code = SandboxSession(server, *std::move(options)).Run();
  if (code.ok()) return static_cast<ExitCode>(*code);
  // As a shell has it.
  if (running && absl::IsNotFound(code.status())) return Fail(code.status()), static_cast<ExitCode>(127);
  return Fail(code.status());
}

}  // namespace

ExitCode RunSandboxStart(const Words& words) {
  return RunSandbox(words, /*run=*/false);
}

ExitCode RunSandboxRun(const Words& words) {
  return RunSandbox(words, /*run=*/true);
}

}  // namespace lattice::cli
