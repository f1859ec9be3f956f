#include "userspace/dp/controller.h"

#include <glog/logging.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "userspace/base/clock.h"
#include "userspace/base/file.h"
#include "userspace/base/notify.h"
#include "userspace/base/status.h"
#include "userspace/datapath/bpffs.h"
#include "userspace/datapath/detach.h"
#include "userspace/datapath/pins.h"
#include "userspace/dp/announce.h"
#include "userspace/dp/health.h"
#include "userspace/dp/metrics_http.h"
#include "userspace/dp/preflight.h"
#include "userspace/dp/privileges.h"
#include "userspace/dp/seccomp.h"
#include "userspace/dp/takeover.h"
#include "userspace/flow/from_kernel.h"

namespace lattice::dp {
namespace {

// A policy file of 128 k rules is about 5 MiB.
constexpr size_t kMaxPolicyBytes = 64 << 20;
constexpr absl::Duration kRecorderStop = absl::Seconds(10);
constexpr absl::Duration kPublisherStop = absl::Seconds(5);
// The client gets its answer before the socket goes.
constexpr absl::Duration kDetachDelay = absl::Milliseconds(200);
// In the record that tells of a detach: no policy is in force.
constexpr uint32_t kNoGeneration = 0;
constexpr absl::Duration kNatsLogPeriod = absl::Seconds(1);
constexpr absl::Duration kMetricsRetry = absl::Seconds(1);

void LogLines(const absl::Status& status) {
  for (absl::string_view line : absl::StrSplit(status.message(), '\n')) LOG(ERROR) << line;
}

// When the file was written last; the start of the machine if there is none.
absl::Time LastWrite(const std::string& path) {
  struct stat st;
  if (stat(path.c_str(), &st) == 0) return absl::TimeFromTimespec(st.st_mtim);
  timespec up = {};
  clock_gettime(CLOCK_BOOTTIME, &up);
  return RealClock().Now() - absl::DurationFromTimespec(up);
}

}  // namespace

Controller::Controller(Options options) : state_(std::move(options)), metrics_(state_) {
  state_.started = RealClock().Now();
}

Controller::~Controller() {
  // The recorder's thread posts to the loop and the publisher's reads the sink: they go first.
  state_.recorder = nullptr;
  state_.publisher = nullptr;
}

ExitCode Controller::Run() {
  if (const absl::Status started = Start(); !started.ok()) {
    LogLines(started);
    if (state_.datapath == nullptr) return StartExitCode(started);
    LOG(ERROR) << "enforcement stays in the kernel without records; " << RemovalHint(state_.options.datapath)
               << " removes it";
    return kExitRuntime;
  }
  const absl::Status ran = loop_->Run();
  LOG_IF(ERROR, !ran.ok()) << "ending: " << ran.message();
  const ExitCode stopped = Stop();
  return ran.ok() ? stopped : kExitRuntime;
}

absl::Status Controller::Start() {
  LATTICE_ASSIGN_OR_RETURN(loop_, EventLoop::Create());
  LATTICE_RETURN_IF_ERROR(AddSignals());  // before any thread, so that all block them
  PolicySource source(state_.options.policy);
  LATTICE_ASSIGN_OR_RETURN(state_.policy, Preflight(state_.options, source));
  policy_ = std::make_unique<PolicyControl>(*loop_, state_, metrics_, std::move(source));
  admin_ = std::make_unique<Admin>(state_, *policy_, metrics_, [this](bool force) { return Detach(force); });
  LogWarnings(state_.policy);
  LATTICE_RETURN_IF_ERROR(Claim());
  LATTICE_ASSIGN_OR_RETURN(watch_, InterfaceWatch::Create(*loop_, state_));
  if (const absl::Duration period = WatchdogPeriod(); period != absl::InfiniteDuration()) {
    loop_->AddTimer(period, [this] {
      if (LivenessProblems(state_, RealClock().MonotonicNs()).empty()) NotifyAlive();
    });
  }
  LATTICE_RETURN_IF_ERROR(Attach());
  watch_->Check();
  return absl::OkStatus();
}

// What only one daemon can have, before anything is in the kernel.
absl::Status Controller::Claim() {
  LATTICE_ASSIGN_OR_RETURN(lock_, datapath::InterfaceLock::Acquire(state_.options.iface(), kRunFolder));
  LATTICE_RETURN_IF_ERROR(datapath::MountBpffsIfMissing(state_.options.datapath.pin_path));
  LATTICE_RETURN_IF_ERROR(OpenServers());
  return OpenAudit();
}

absl::Status Controller::OpenAudit() {
  last_record_ = LastWrite(state_.options.audit.path);
  audit::AuditFileOptions options = state_.options.audit;
  LATTICE_ASSIGN_OR_RETURN(options.boot, audit::ReadBootId());
  LATTICE_RETURN_IF_ERROR(LoadSigningKey());
  options.signing_key = state_.signing_key;
  const auto info =
      datapath::ReadPinnedInfo(datapath::PinFolder(state_.options.datapath.pin_path, state_.options.datapath.iface));
  if (info.ok() && !datapath::IsInterruptedStart(*info)) {
    options.rings_adopted = true;
    options.min_next_seq = std::max<uint64_t>(info->next_seq, 1);
  } else if (!info.ok() && !absl::IsNotFound(info.status())) {
    return info.status();
  }
  EventLoop* const loop = loop_.get();
  options.on_disk_failing = [this, loop](bool failing) {
    loop->Post([this, failing] { policy_->DiskFailing(failing); });
  };
  auto audit = audit::AuditFile::Open(audit::RealFileSystem(), RealClock(), std::move(options));
  LATTICE_RETURN_IF_ERROR(audit.status());
  state_.audit = *std::move(audit);
  return absl::OkStatus();
}

absl::Status Controller::LoadSigningKey() {
  auto key = audit::SigningKey::LoadOrCreate(state_.options.audit_key);
  LATTICE_RETURN_IF_ERROR(Annotate(key.status(), "--audit-key"));
  state_.signing_key = *std::move(key);
  LOG(INFO) << "digests are signed; the public key is " << absl::Base64Escape(state_.signing_key->public_key());
  return absl::OkStatus();
}

absl::Status Controller::OpenServers() {
  if (!state_.options.metrics_addr.empty()) {
    const absl::Status opened = OpenMetrics();
    // Anybody may hold a port; that must not decide whether flows are judged and recorded.
    if (absl::IsAlreadyExists(opened)) {
      LOG(WARNING) << opened.message() << "; starting without metrics, tried again every second";
      metrics_retry_ = loop_->AddTimer(kMetricsRetry, [this] { RetryMetrics(); });
    } else if (!opened.ok()) {
      return opened;
    }
  }
  if (absl::StartsWith(state_.options.admin_socket, kRunFolder)) {
    LATTICE_RETURN_IF_ERROR(MakeDirectories(kRunFolder, 0755));
  }
  LATTICE_ASSIGN_OR_RETURN(admin_server_, http::Server::Create(*loop_, {.address = state_.options.admin_socket,
                                                                        .flag = "--admin-socket",
                                                                        .max_body_bytes = kMaxPolicyBytes}));
  admin_->Serve(*admin_server_);
  return absl::OkStatus();
}

absl::Status Controller::OpenMetrics() {
  auto server = http::Server::Create(*loop_, {.address = state_.options.metrics_addr, .flag = "--metrics-addr"});
  state_.metrics_problem = std::string(server.status().message());
  LATTICE_RETURN_IF_ERROR(server.status());
  metrics_server_ = *std::move(server);
  state_.metrics_address = metrics_server_->address();
  ServeMetrics(*metrics_server_, state_, metrics_);
  return absl::OkStatus();
}

void Controller::RetryMetrics() {
  if (!OpenMetrics().ok()) return;
  LOG(INFO) << "metrics at http://" << state_.metrics_address << "/metrics from now on";
  loop_->RemoveTimer(metrics_retry_);
}

absl::Status Controller::AddSignals() {
  for (const int signal : {SIGTERM, SIGINT}) {
    LATTICE_RETURN_IF_ERROR(loop_->AddSignal(signal, [this] { loop_->Stop(); }));
  }
  LATTICE_RETURN_IF_ERROR(loop_->AddSignal(SIGHUP, [this] { OnHangup(); }));
  // A reader that goes away is an error of a write, not the end of the daemon.
  if (::signal(SIGPIPE, SIG_IGN) == SIG_ERR) return ErrnoStatus(errno, "ignoring SIGPIPE");
  return absl::OkStatus();
}

absl::Status Controller::Attach() {
  LATTICE_ASSIGN_OR_RETURN(const Takeover takeover, Takeover::Look(state_.options.datapath));
  LATTICE_ASSIGN_OR_RETURN(state_.datapath, datapath::Datapath::Create(state_.options.datapath, state_.policy.rules));
  LATTICE_ASSIGN_OR_RETURN(const std::vector<std::string> ended, takeover.Ended());
  for (const std::string& what : ended) LOG(WARNING) << "enforced until this start, and not any more: " << what;
  // Also because the names of other programs can't be asked for afterwards.
  const std::vector<datapath::HookStatus> hooks = state_.datapath->Hooks();
  LATTICE_RETURN_IF_ERROR(DropPrivileges());
  LATTICE_RETURN_IF_ERROR(RestrictSystemCalls(state_.options.seccomp));
  LATTICE_RETURN_IF_ERROR(StartThreads());
  TellGap();
  const std::string line = EnforcementLine(state_, hooks);
  LOG(INFO) << line;
  NotifyReady(line);
  return absl::OkStatus();
}

absl::Status Controller::MakePublisher() {
  const Options& options = state_.options;
  if (options.nats.urls.empty()) return absl::OkStatus();
  state_.sink = std::make_unique<NatsSink>(NatsSinkOptions{
      .nats = options.nats,
      .jetstream = options.nats_jetstream,
      .stream = {.agent_token_file = options.agent_token_file},
  });
  audit::PublisherOptions publishing;
  publishing.audit_path = options.audit.path;
  publishing.heads = {
      .node = options.audit.node, .agent_id = options.audit.agent_id, .public_key = state_.signing_key->public_key()};
  // The recorder is there before the publisher starts.
  publishing.on_loss = [this](const audit::Loss& loss) { state_.recorder->AddLoss(loss); };
  LATTICE_ASSIGN_OR_RETURN(state_.publisher, audit::Publisher::Create(audit::RealFileSystem(), RealClock(),
                                                                      *state_.sink, std::move(publishing)));
  loop_->AddTimer(kNatsLogPeriod, [this] { WatchNats(); });
  return absl::OkStatus();
}

// The service manager's line says whether records are published.
void Controller::WatchNats() {
  state_.sink->LogEvents();
  const bool connected = state_.sink->is_connected();
  if (std::exchange(nats_connected_, connected) == connected) return;
  NotifyStatus(EnforcementLine(state_, state_.datapath->Hooks()));
}

absl::Status Controller::StartThreads() {
  LATTICE_RETURN_IF_ERROR(MakePublisher());
  RecorderOptions options;
  options.agent_id = state_.options.audit.agent_id;
  options.iface = state_.options.iface();
  options.mode = state_.options.datapath.mode;
  options.ledger_path = RunPath(state_.options.instance, "told");
  options.on_written = [publisher = state_.publisher.get()](uint64_t records, const audit::Head& head) {
    if (publisher != nullptr) publisher->Written(records, head);
  };
  options.on_lines = [this](std::vector<FollowLine> lines) {
    loop_->Post([this, lines = std::move(lines)] { admin_->Follow(lines); });
  };
  LATTICE_ASSIGN_OR_RETURN(state_.recorder,
                           Recorder::Create(*state_.datapath, std::move(state_.audit), std::move(options)));
  policy_->Published();
  state_.recorder->Start();
  if (state_.publisher != nullptr) state_.publisher->Start();
  return absl::OkStatus();
}

void Controller::TellGap() {
  if (state_.datapath->found_missing().empty()) return;
  LOG(WARNING) << "while no latticed-dp ran, not in place: " << absl::StrJoin(state_.datapath->found_missing(), ", ")
               << "; packets may have passed unjudged since " << absl::FormatTime(last_record_, absl::UTCTimeZone());
  state_.recorder->Add(flow::LossRecord(state_.recorder->NewContext(), RealClock(), kStageUnenforced, /*count=*/0,
                                        last_record_, RealClock().Now()));
}

void Controller::OnHangup() {
  NotifyReloading();
  const absl::Status reloaded = policy_->Reload();
  state_.recorder->Reopen();
  if (state_.sink != nullptr) state_.sink->ReadSecretsAgain();
  NotifyReady(reloaded.ok() ? absl::StrCat("policy from ", state_.policy.source)
                            : absl::StrCat("reload refused: ", reloaded.message()));
}

absl::StatusOr<std::vector<std::string>> Controller::Detach(bool force) {
  if (state_.disk_failing && !force) {
    return absl::FailedPreconditionError(
        absl::StrCat("the audit file ", state_.options.audit.path,
                     " cannot be written, so the records of all flows would be lost: mend the disk first, or detach "
                     "with --force"));
  }
  // Pins first: our own descriptors keep tables and rings until every flow is ended and written.
  LATTICE_ASSIGN_OR_RETURN(const datapath::DetachReport report,
                           datapath::Detach(state_.options.iface(), state_.options.datapath.pin_path));
  state_.detached = true;
  state_.recorder->Add(flow::PolicyRecord(state_.recorder->NewContext(), RealClock(), kNoGeneration, /*hash=*/""));
  LOG(WARNING) << "detached by order: nothing is enforced on " << state_.options.iface() << " any more";
  loop_->AddOnce(kDetachDelay, [this] { loop_->Stop(); });
  return report.removed;
}

// Whether every record is in the audit file.
bool Controller::StopRecords() {
  const absl::Status stopped = state_.recorder->Stop(kRecorderStop, state_.detached);
  if (stopped.ok()) return true;
  LOG(ERROR) << "not all records are in the audit file; "
             << (state_.detached ? "what it did not take is lost and counted: " : "what is in the kernel stays there: ")
             << stopped.message();
  return false;
}

ExitCode Controller::Stop() {
  NotifyStopping();
  const bool complete = StopRecords();
  if (state_.publisher != nullptr) {
    state_.publisher->Stop(kPublisherStop);
    state_.sink->LogEvents();
  }
  if (state_.detached) {
    LOG(INFO) << "stopped; nothing of ours is left on " << state_.options.iface();
  } else if (const auto pinned = state_.datapath->RestorePins(); !pinned.ok()) {
    LOG(ERROR) << "enforcement on " << state_.options.iface()
               << " ends now: pins are missing and can't be made: " << pinned.status().message();
    return kExitRuntime;
  } else {
    LOG(INFO) << "stopped; " << state_.options.iface() << " stays enforced by the pins in "
              << state_.datapath->pin_folder() << "; " << RemovalHint(state_.options.datapath) << " removes that";
  }
  return complete ? kExitOk : kExitRuntime;
}

}  // namespace lattice::dp
